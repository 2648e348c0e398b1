//! One key, however many ways it comes: telephone events, tones in the audio, and what signaling carries.
//!
//! A phone may send the same press as RFC 4733 events, as tones and as SIP INFO, each late by another time. The way that
//! tells a press first is believed about its end as well; the others confirm it and say nothing new.

use std::time::{Duration, Instant};

use super::{Edge, event_receiver::Edges};

/// How a press was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// RFC 4733.
    Event,
    /// The two tones of a key.
    Inband,
    /// SIP INFO, or whatever else is told from outside of the media.
    Signaling,
}

/// Follows the keys of one peer. At most one is down.
#[derive(Debug, Clone, Default)]
pub struct Fusion {
    /// The latest presses, the newest first.
    presses: [Option<Press>; REMEMBERED],
    /// When a key that came without an end goes up.
    up_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Press {
    code: u8,
    /// Who told it.
    way: Way,
    /// Who else did, one bit each; `way` included.
    ways: u8,
    began: Instant,
    /// Somebody who told it holds it down still: one bit each.
    held: u8,
    /// When anybody who told it released it.
    ended: Instant,
    /// Its end was told.
    is_up: bool,
}

impl Way {
    fn bit(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Inband => 2,
            Self::Signaling => 4,
        }
    }
}

impl Fusion {
    /// Nothing pressed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what one way tells, and returns what is news.
    pub fn handle(&mut self, now: Instant, way: Way, edge: Edge) -> Edges {
        let mut news = Edges::default();
        match edge {
            Edge::Down(code) => self.down(now, way, code, &mut news),
            Edge::Up(code, ms) => self.up(now, way, code, ms, &mut news),
        }
        news
    }

    /// A whole press of that many ms, told when it began or when it was over. Its end comes with
    /// [`handle_timeout`](Self::handle_timeout).
    pub fn press(&mut self, now: Instant, way: Way, code: u8, ms: u16) -> Edges {
        let mut news = Edges::default();
        self.down(now, way, code, &mut news);
        if news.is_empty() {
            self.up(now, way, code, 0, &mut news);
        } else {
            self.up_at = Some(now + Duration::from_millis(ms.clamp(SHORTEST_MS, LONGEST_MS).into()));
        }
        news
    }

    /// Ends a press that was told as a whole.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Edge> {
        self.up_at.take_if(|at| *at <= now)?;
        self.close(now)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.up_at
    }

    /// The key that is down, and who told it.
    #[must_use]
    pub fn pressed(&self) -> Option<(u8, Way)> {
        self.presses[0].filter(|press| !press.is_up).map(|press| (press.code, press.way))
    }

    fn down(&mut self, now: Instant, way: Way, code: u8, news: &mut Edges) {
        let known = self.presses.iter_mut().flatten().rev().find(|press| press.confirms(now, way, code));
        if let Some(press) = known {
            press.ways |= way.bit();
            press.held |= way.bit();
            press.ended = now;
            return;
        }
        if let Some(edge) = self.close(now) {
            news.push(edge);
        }
        self.presses.copy_within(..REMEMBERED - 1, 1);
        let bit = way.bit();
        let press = Press { code, way, ways: bit, began: now, held: bit, ended: now, is_up: false };
        self.presses[0] = Some(press);
        news.push(Edge::Down(code));
    }

    fn up(&mut self, now: Instant, way: Way, code: u8, ms: u32, news: &mut Edges) {
        let bit = way.bit();
        let held =
            self.presses.iter_mut().flatten().rev().find(|press| press.code == code && press.held & bit != 0);
        let Some(press) = held else { return };
        press.held &= !bit;
        press.ended = now;
        if press.way == way && !press.is_up {
            press.is_up = true;
            news.push(Edge::Up(code, ms));
        }
    }

    /// Whatever is down goes up.
    fn close(&mut self, now: Instant) -> Option<Edge> {
        let press = self.presses[0].as_mut().filter(|press| !press.is_up)?;
        press.is_up = true;
        press.held &= !press.way.bit();
        press.ended = now;
        self.up_at = None;
        let ms = now.saturating_duration_since(press.began).as_millis();
        Some(Edge::Up(press.code, u32::try_from(ms).unwrap_or(u32::MAX)))
    }
}

impl Press {
    /// Whether this is the press that another way tells now.
    fn confirms(&self, now: Instant, way: Way, code: u8) -> bool {
        let others = self.ways & !way.bit() != 0;
        let is_held = self.held & !way.bit() != 0;
        let recent = is_held || now.saturating_duration_since(self.ended) < SAME_PRESS;
        // Each way tells a press once; only tones may seem to stop for a moment.
        let again = self.ways & way.bit() != 0 && way != Way::Inband;
        self.code == code && others && recent && !again
    }
}

/// The same key in two ways within this time is one press.
pub const SAME_PRESS: Duration = Duration::from_millis(300);

/// As many as are pressed in that time, and the late ones among them.
const REMEMBERED: usize = 6;

/// Bounds of the length that signaling tells, ms.
const SHORTEST_MS: u16 = 40;
const LONGEST_MS: u16 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    struct Line {
        fusion: Fusion,
        base: Instant,
        told: Vec<(u64, Edge)>,
    }

    impl Line {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        fn new() -> Self {
            Self { fusion: Fusion::new(), base: Instant::now(), told: Vec::new() }
        }

        fn at(&mut self, ms: u64, way: Way, edge: Edge) {
            let now = self.base + Duration::from_millis(ms);
            self.told.extend(self.fusion.handle_timeout(now).map(|edge| (ms, edge)));
            self.told.extend(self.fusion.handle(now, way, edge).map(|edge| (ms, edge)));
        }

        fn press(&mut self, ms: u64, code: u8, length: u16) {
            let now = self.base + Duration::from_millis(ms);
            self.told.extend(self.fusion.press(now, Way::Signaling, code, length).map(|edge| (ms, edge)));
        }

        fn keys(&self) -> Vec<u8> {
            let downs = self.told.iter().filter_map(|(_, edge)| match edge {
                Edge::Down(code) => Some(*code),
                Edge::Up(..) => None,
            });
            downs.collect()
        }
    }

    /// Presses through events and, later, through tones.
    fn both(line: &mut Line, presses: &[(u64, u8, u64)], later: u64) {
        let mut edges = Vec::new();
        for &(at, code, ms) in presses {
            for (way, late) in [(Way::Event, 0), (Way::Inband, later)] {
                edges.push((at + late, way, Edge::Down(code)));
                edges.push((at + late + ms, way, Edge::Up(code, ms as u32)));
            }
        }
        edges.sort_by_key(|(at, ..)| *at);
        edges.into_iter().for_each(|(at, way, edge)| line.at(at, way, edge));
    }

    #[test]
    fn one_way_alone_is_told_as_it_is() {
        let mut line = Line::new();
        for n in 0..4 {
            line.at(n * 100, Way::Event, Edge::Down(5));
            line.at(n * 100 + 50, Way::Event, Edge::Up(5, 50));
        }
        assert_eq!(line.keys(), [5; 4]);
        assert_eq!(line.told.len(), 8);
        assert_eq!(line.told[1], (50, Edge::Up(5, 50)));
    }

    #[test]
    fn the_same_press_in_two_ways_is_one() {
        for later in [0, 20, 60, 150, 250] {
            let mut line = Line::new();
            both(&mut line, &[(0, 1, 100), (200, 2, 100), (400, 2, 100), (600, 3, 1500)], later);
            assert_eq!(line.keys(), [1, 2, 2, 3], "{later} ms later");
            assert_eq!(line.told.len(), 8, "{later} ms later: {:?}", line.told);
            let ups: Vec<_> = line.told.iter().filter(|(_, edge)| matches!(edge, Edge::Up(..))).collect();
            assert_eq!(ups[3], &(2100, Edge::Up(3, 1500)));
        }
    }

    #[test]
    fn short_presses_in_a_row_stay_apart() {
        let mut line = Line::new();
        let presses: Vec<_> = (0..10).map(|n| (n * 100, [5, 5, 6][n as usize % 3], 50)).collect();
        both(&mut line, &presses, 120);
        assert_eq!(line.keys(), [5, 5, 6, 5, 5, 6, 5, 5, 6, 5]);
    }

    #[test]
    fn tones_that_fall_apart_within_a_press_are_one() {
        let mut line = Line::new();
        line.at(0, Way::Event, Edge::Down(7));
        line.at(60, Way::Inband, Edge::Down(7));
        line.at(400, Way::Inband, Edge::Up(7, 340));
        line.at(450, Way::Inband, Edge::Down(7));
        line.at(1000, Way::Event, Edge::Up(7, 1000));
        line.at(1020, Way::Inband, Edge::Up(7, 570));
        line.at(1050, Way::Inband, Edge::Down(7));
        line.at(1100, Way::Inband, Edge::Up(7, 50));
        assert_eq!(line.told, [(0, Edge::Down(7)), (1000, Edge::Up(7, 1000))]);
    }

    #[test]
    fn an_info_at_either_end_of_a_press_confirms_it() {
        for (info, length) in [(10, 1000), (990, 1000), (1040, 1000), (1250, 160)] {
            let mut line = Line::new();
            if info < 1000 {
                line.at(0, Way::Event, Edge::Down(4));
                line.press(info, 4, length);
                line.at(1000, Way::Event, Edge::Up(4, 1000));
            } else {
                line.at(0, Way::Event, Edge::Down(4));
                line.at(1000, Way::Event, Edge::Up(4, 1000));
                line.press(info, 4, length);
            }
            assert_eq!(line.keys(), [4], "INFO at {info}");
            assert_eq!(line.told.len(), 2, "INFO at {info}");
            line.press(1600, 4, 100);
            assert_eq!(line.keys(), [4, 4], "a press of its own");
        }
    }

    #[test]
    fn an_info_that_comes_first_lasts_as_long_as_it_says() {
        let mut line = Line::new();
        line.press(0, 9, 120);
        line.at(30, Way::Event, Edge::Down(9));
        line.at(200, Way::Event, Edge::Up(9, 170));
        assert_eq!(line.told, [(0, Edge::Down(9)), (200, Edge::Up(9, 200))]);
        line.press(1000, 1, 0);
        line.press(1020, 2, 65_000);
        assert_eq!(line.told[2..], [(1000, Edge::Down(1)), (1020, Edge::Up(1, 20)), (1020, Edge::Down(2))]);
        assert_eq!(line.fusion.poll_timeout(), Some(line.base + Duration::from_millis(6020)));
        assert_eq!(line.fusion.pressed(), Some((2, Way::Signaling)));
    }

    #[test]
    fn another_key_ends_the_one_before() {
        let mut line = Line::new();
        line.at(0, Way::Event, Edge::Down(1));
        line.at(100, Way::Inband, Edge::Down(2));
        line.at(150, Way::Event, Edge::Up(1, 150));
        line.at(200, Way::Inband, Edge::Up(2, 100));
        line.at(300, Way::Inband, Edge::Up(2, 100));
        assert_eq!(
            line.told,
            [(0, Edge::Down(1)), (100, Edge::Up(1, 100)), (100, Edge::Down(2)), (200, Edge::Up(2, 100))]
        );
    }

    proptest::proptest! {
        #[test]
        fn downs_and_ups_alternate_whatever_comes(
            edges in proptest::collection::vec((0_u64..400, 0_u8..3, 0_u8..4, proptest::bool::ANY), 0..80),
        ) {
            let mut line = Line::new();
            let mut now = 0;
            for (step, way, code, down) in edges {
                now += step;
                let way = [Way::Event, Way::Inband, Way::Signaling][usize::from(way)];
                match way {
                    Way::Signaling => line.press(now, code, 100),
                    Way::Event | Way::Inband if down => line.at(now, way, Edge::Down(code)),
                    Way::Event | Way::Inband => line.at(now, way, Edge::Up(code, 50)),
                }
            }
            let mut pressed = None;
            for (_, edge) in line.told {
                match edge {
                    Edge::Down(code) => proptest::prop_assert_eq!(pressed.replace(code), None),
                    Edge::Up(code, _) => proptest::prop_assert_eq!(pressed.take(), Some(code)),
                }
            }
        }
    }
}
