//! What can be asked of the programs.

use std::{fmt, time::Duration};

/// How much load, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Calls at a time.
    pub calls: usize,
    /// Time that is measured, of each server.
    pub window: Duration,
    /// Time before it that is not.
    pub warm_up: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { calls: 1_000, window: Duration::from_secs(3), warm_up: Duration::from_secs(1) }
    }
}

/// An argument that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected: [--calls 1..8000] [--seconds 1..60]", self.0)
    }
}

impl std::error::Error for Usage {}

impl Options {
    /// Reads `--calls N` and `--seconds S`; both have defaults.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, Usage> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let Some(value) = arguments.next().and_then(|value| value.parse::<u32>().ok()) else {
                return Err(Usage(format!("{flag} without a number")));
            };
            match (flag.as_str(), value) {
                ("--calls", 1..=8_000) => options.calls = value as usize,
                ("--seconds", 1..=60) => options.window = Duration::from_secs(value.into()),
                _ => return Err(Usage(format!("{flag} {value}"))),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Usage> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_optional_and_bounded() {
        assert_eq!(parse(""), Ok(Options::default()));
        let long = Options { calls: 50, window: Duration::from_secs(7), ..Options::default() };
        assert_eq!(parse("--seconds 7 --calls 50"), Ok(long));
        for wrong in ["--calls", "--calls many", "--calls 0", "--seconds 61", "--speed 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
