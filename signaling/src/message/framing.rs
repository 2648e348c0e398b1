//! Messages out of a byte stream (RFC 3261 §18.3, §7.5; RFC 5626 §3.5.1).
