//! What is measured, apart from how: [`bodies`] run under criterion (`micro/`) and under callgrind (`counts/`); `load`
//! is media on real sockets beside its floor.

pub mod bodies;
#[cfg(feature = "load")]
pub mod load;
