//! How unevenly packets come, and what that asks of the playout: how long to wait, and how fast the peer's clock is.

use super::playout::FRAME;

/// What the arrivals of the last seconds say. All times in samples.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// Arrival minus timestamp of the last packets, less `reference`.
    transits: [i32; WINDOW],
    next: usize,
    count: usize,
    /// How many of them are the last 4 seconds.
    span: usize,
    reference: i64,
    /// Of the packets in the window: the quickest, and all but the latest few.
    quickest: i32,
    slow: i32,
    /// Packets since both were computed.
    stale: u8,
    /// Delay of the quickest packet that suits the packets of the window, 1/256 sample.
    target: i64,
    drift: Drift,
}

impl Lateness {
    pub(crate) fn new() -> Self {
        Self {
            transits: [0; WINDOW],
            next: 0,
            count: 0,
            span: WINDOW,
            reference: 0,
            quickest: 0,
            slow: 0,
            stale: 0,
            target: START << 8,
            drift: Drift::default(),
        }
    }

    /// Another clock, or another way: nothing known is true any longer. The delay is kept.
    pub(crate) fn restart(&mut self) {
        (self.count, self.next, self.stale) = (0, 0, 0);
        self.drift = Drift::default();
    }

    /// Whether a packet may belong to the stream that was measured.
    pub(crate) fn fits(&self, transit: i64) -> bool {
        self.count == 0 || (transit - self.quickest()).abs() <= MAX
    }

    /// Whether a packet is later than nearly all before.
    pub(crate) fn is_late(&self, transit: i64) -> bool {
        self.count > 0 && transit > self.reference + i64::from(self.slow) + FRAME as i64
    }

    /// Takes in a packet of `length` samples.
    pub(crate) fn record(&mut self, arrival: i64, at: i64, length: usize) {
        let transit = arrival - at;
        if self.count == 0 {
            self.reference = transit;
            (self.quickest, self.slow) = (0, 0);
            self.drift = Drift::default();
        }
        let relative = (transit - self.reference).clamp(-LIMIT, LIMIT) as i32;
        self.transits[self.next] = relative;
        self.next = (self.next + 1) % WINDOW;
        self.count = (self.count + 1).min(WINDOW);
        self.span = (SPAN / length.max(1)).clamp(16, WINDOW);
        self.drift.record(arrival, relative);
        self.stale += 1;
        if self.stale >= RECOMPUTE || relative < self.quickest || relative > self.slow {
            self.compute();
        }
        let wanted = self.wanted() << 8;
        if wanted > self.target {
            self.target = wanted;
        } else if self.count >= SETTLED {
            self.target = wanted.max(self.target - ((length as i64) << 8) / DECAY);
        }
    }

    /// When the quickest packet came, less its timestamp.
    pub(crate) fn quickest(&self) -> i64 {
        self.reference + i64::from(self.quickest)
    }

    /// How long the quickest packet should wait.
    pub(crate) fn target(&self) -> i64 {
        self.target >> 8
    }

    /// Allows a longer delay at once, to be reduced as slowly as any.
    pub(crate) fn raise(&mut self, delay: i64) {
        self.target = self.target.max(delay.min(MAX) << 8);
    }

    /// How much slower than ours the peer's clock is, in millionths.
    pub(crate) fn drift_ppm(&self) -> i32 {
        self.drift.ppm
    }

    fn wanted(&self) -> i64 {
        let least = if self.count < SETTLED { START } else { MIN };
        (i64::from(self.slow - self.quickest) + FRAME as i64).clamp(least, MAX)
    }

    fn compute(&mut self) {
        self.stale = 0;
        let count = self.count.min(self.span);
        let mut sorted = [0; WINDOW];
        for (index, transit) in sorted[..count].iter_mut().enumerate() {
            *transit = self.transits[(self.next + WINDOW - 1 - index) % WINDOW];
        }
        let sorted = &mut sorted[..count];
        let Some(&quickest) = sorted.iter().min() else { return };
        // In the first second every packet counts: one late packet of twenty is no exception yet.
        let left_out = if self.count < SETTLED { 0 } else { count / EXCEPTIONS };
        let (_, &mut slow, _) = sorted.select_nth_unstable(count - 1 - left_out);
        (self.quickest, self.slow) = (quickest, slow);
    }
}

/// The slope of the quickest packets of each second.
#[derive(Debug)]
struct Drift {
    /// Second and transit.
    points: [(i32, i32); POINTS],
    count: usize,
    next: usize,
    began: Option<i64>,
    /// The second under way, and its quickest packet.
    second: i32,
    quickest: i32,
    ppm: i32,
}

impl Default for Drift {
    fn default() -> Self {
        let points = [(0, 0); POINTS];
        Self { points, count: 0, next: 0, began: None, second: 0, quickest: i32::MAX, ppm: 0 }
    }
}

impl Drift {
    fn record(&mut self, arrival: i64, transit: i32) {
        let began = *self.began.get_or_insert(arrival);
        let second = ((arrival - began) / SECOND) as i32;
        if second != self.second {
            self.add((self.second, self.quickest));
            (self.second, self.quickest) = (second, i32::MAX);
        }
        self.quickest = self.quickest.min(transit);
    }

    fn add(&mut self, point: (i32, i32)) {
        let last = self.points[(self.next + POINTS - 1) % POINTS];
        // Another way is no slope.
        if self.count > 0 && (point.1 - last.1).abs() > STEP {
            self.count = 0;
        }
        self.points[self.next] = point;
        self.next = (self.next + 1) % POINTS;
        self.count = (self.count + 1).min(POINTS);
        if self.count >= ENOUGH {
            self.ppm = self.slope().clamp(-MAX_PPM, MAX_PPM);
        }
    }

    /// Least squares, in millionths; 0 when chance explains it.
    fn slope(&self) -> i32 {
        let known = || (1..=self.count).map(|back| self.points[(self.next + POINTS - back) % POINTS]);
        let count = self.count as f64;
        let (x, y) =
            known().fold((0.0, 0.0), |(x, y), point| (x + f64::from(point.0), y + f64::from(point.1)));
        let (x, y) = (x / count, y / count);
        let (mut cross, mut x_square, mut y_square) = (0.0, 0.0, 0.0);
        for point in known() {
            let (dx, dy) = (f64::from(point.0) - x, f64::from(point.1) - y);
            cross += dx * dy;
            x_square += dx * dx;
            y_square += dy * dy;
        }
        if x_square == 0.0 {
            return 0;
        }
        let slope = cross / x_square;
        let error = ((y_square - slope * cross).max(0.0) / (count - 2.0) / x_square).sqrt();
        if slope.abs() < 3.0 * error { 0 } else { (slope * 1e6 / SECOND as f64).round() as i32 }
    }
}

/// Packets remembered: 4 s of 20 ms, 2 s of 10 ms.
const WINDOW: usize = 200;

/// 4 s.
const SPAN: usize = 32_000;

/// One packet of so many may come later than the delay is made for. Spare time of up to one frame lies on top, because
/// audio is needed frame by frame; when it happens to be nothing, more than these would be lost.
const EXCEPTIONS: usize = 40;

/// The window is looked at again after so many packets, or at once when one falls out of the known range.
const RECOMPUTE: u8 = 8;

/// After so many packets the measured figures are believed.
const SETTLED: usize = 50;

/// The delay goes down by one sample in so many: 10 ms a second.
const DECAY: i64 = 100;

/// Delay of the quickest packet: 20 ms at least, 40 ms in the beginning, 200 ms at most.
const MIN: i64 = 160;
const START: i64 = 320;
pub(crate) const MAX: i64 = 1_600;

/// Transits beyond 100 s from the first are not told apart.
const LIMIT: i64 = 800_000;

/// Slope is measured over so many seconds at most, and at least.
const POINTS: usize = 64;
const ENOUGH: usize = 16;

/// A change of more than 8 ms from one second to the next is no drift.
const STEP: i32 = 64;

/// Clocks are not worse.
const MAX_PPM: i32 = 500;

const SECOND: i64 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms that come `late(index)` samples after the quickest way.
    fn after(packets: i64, late: impl Fn(i64) -> i64) -> Lateness {
        let mut lateness = Lateness::new();
        for index in 0..packets {
            lateness.record(index * 160 + 77_000 + late(index), index * 160, 160);
        }
        lateness
    }

    #[test]
    fn an_even_stream_comes_down_to_one_frame() {
        assert_eq!(after(20, |_| 0).target(), 320);
        assert_eq!(after(400, |_| 0).target(), 160);
        assert_eq!(after(400, |_| 0).quickest(), 77_000);
    }

    #[test]
    fn the_delay_covers_nearly_all_packets_and_one_frame() {
        let lateness = after(1_000, |index| index * 7_919 % 400);
        assert!((540..=560).contains(&lateness.target()), "{}", lateness.target());
        // One in a hundred does not count.
        let spikes = after(1_000, |index| if index % 100 == 0 { 1_000 } else { 0 });
        assert!(spikes.target() < 900, "{}", spikes.target());
    }

    #[test]
    fn it_grows_at_once_and_goes_down_by_10_ms_a_second() {
        let bad = |index: i64| if (1_000..1_100).contains(&index) { index % 5 * 200 } else { 0 };
        assert!(after(1_040, bad).target() >= 960);
        let (early, later) = (after(1_400, bad).target(), after(1_450, bad).target());
        assert_eq!(early - later, 80);
        assert_eq!(after(2_600, bad).target(), 160);
    }

    #[test]
    fn it_never_exceeds_200_ms() {
        assert_eq!(after(500, |index| index % 10 * 1_000).target(), MAX);
    }

    #[test]
    fn the_slope_of_the_clock_is_measured_through_jitter() {
        for ppm in [-200, 0, 60, 200] {
            let lateness = after(4_000, |index| index * 160 * ppm / 1_000_000 + index * 7_919 % 160);
            assert!(
                (i64::from(lateness.drift_ppm()) - ppm).abs() <= 15,
                "{} for {ppm}",
                lateness.drift_ppm()
            );
        }
    }

    #[test]
    fn a_longer_way_is_no_drift() {
        let lateness = after(3_000, |index| if index > 1_500 { 400 } else { 0 });
        assert_eq!(lateness.drift_ppm(), 0);
    }
}
