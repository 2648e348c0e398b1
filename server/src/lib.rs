//! What the program `offhook` is made of.

pub mod config;
pub mod routing;
