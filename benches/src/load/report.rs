//! What was measured, for people.

use std::fmt;

use super::{Measured, Options};

/// One server in the table.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is.
    pub name: &'static str,
    /// What was seen of it.
    pub measured: Measured,
}

/// Servers one after another under the same load. The first two are the floors.
#[derive(Debug, Clone)]
pub struct Table {
    /// The load.
    pub options: Options,
    /// Servers in the order of their runs.
    pub lines: Vec<Line>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { calls, window, warm_up } = self.options;
        writeln!(
            f,
            "{calls} calls, 172 bytes each way per 20 ms; {window:?} measured after {warm_up:?}; times in ms\n\n\
             {:<20}{:>10}{:>16}{:>8}   {:<31}   generator late\n\
             {:<20}{:>10}{:>8}{:>8}{:>8}{:>7}{:>9}{:>9}{:>9}{:>8}{:>8}",
            "",
            "CPU / call",
            "x floor",
            "",
            "  late",
            "",
            "and second",
            "woken",
            "beats",
            "lost",
            "p50",
            "p99",
            "p99.9",
            "max",
            "p99",
            "max"
        )?;
        for Line { name, measured } in &self.lines {
            write!(f, "{name:<20}{:>10.4}", measured.cpu_ms)?;
            for floor in 0..2 {
                match self.lines.get(floor) {
                    Some(floor) => write!(f, "{:>8.2}", measured.cpu_ms / floor.measured.cpu_ms)?,
                    None => write!(f, "{:>8}", "")?,
                }
            }
            let late = |share| milliseconds(&measured.lateness, share);
            let sent = |share| milliseconds(&measured.sent_late, share);
            let (p50, p99, p999, max) = (late(0.5), late(0.99), late(0.999), late(1.0));
            write!(f, "{:>8}{p50:>7.2}{p99:>9.2}{p999:>9.2}{max:>9.2}", measured.lost)?;
            writeln!(f, "{:>8.2}{:>8.2}", sent(0.99), sent(1.0))?;
        }
        if self.lines.iter().any(|line| milliseconds(&line.measured.sent_late, 1.0) > TOLERABLE_MS) {
            writeln!(
                f,
                "\nThe generator itself was late by more than a frame: loss and lateness are the machine's."
            )?;
        }
        Ok(())
    }
}

/// From here on a generator makes gaps that a server must fill or skip.
const TOLERABLE_MS: f64 = 20.0;

/// The smallest value that so large a share does not exceed.
fn milliseconds(sorted: &[u64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).map_or(f64::NAN, |&nanos| nanos as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let values: Vec<u64> = (1..=1_000).map(|ms| ms * 1_000_000).collect();
        assert_eq!(
            [0.0, 0.5, 0.99, 0.999, 1.0].map(|share| milliseconds(&values, share)),
            [1.0, 500.0, 990.0, 999.0, 1_000.0]
        );
        assert!(milliseconds(&[], 0.5).is_nan());
    }
}
