//! Shared by the behaviour tests.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "every test uses a part of it")]

pub mod world;
