//! The program `offhook`.
fn main() {}
