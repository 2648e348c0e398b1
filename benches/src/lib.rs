//! What is measured, apart from how: [`bodies`] run under criterion (`micro/`) and under callgrind (`counts/`).

pub mod bodies;
