//! Virtual time begins somewhere.

use std::time::Instant;

pub(crate) fn base() -> Instant {
    Instant::now()
}
