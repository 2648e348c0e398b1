//! What is heard of a party whose packets come late, twice, in another order or not at all, or whose clock is wrong.

mod common;

use std::time::Duration;

use common::{
    dice::Dice,
    world::{World, address, config},
};
use offhook_media::{
    Codec, Command, Feed, PayloadFormat, SessionConfig, SessionId, SessionStats,
    dsp::{
        detect::{ToneReport, analyse},
        level::rms,
        tone::{ToneGenerator, ToneSpec},
    },
};

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";

/// Chances are per thousand packets.
#[derive(Clone, Copy, Default)]
struct Network {
    loss: u64,
    /// Packets lost in a row each time.
    burst: u64,
    duplicates: u64,
    jitter_ms: u64,
    /// Added to the time of packets of the peer, millionths.
    drift_ppm: i64,
}

/// A decodes, because B is sent another codec.
fn bridge(seed: u64) -> (World, SessionId, SessionId) {
    let mut world = World::new(seed);
    let a = world.open(config(A));
    let send = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
    let b = world.open(SessionConfig { send, ..config(B) });
    world.command(Command::Feed(b, Feed::Session(a)));
    (world, a, b)
}

/// A party that talks over a bad network.
struct Talker {
    session: SessionId,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    /// On the peer's clock, since the world began.
    talked: Duration,
    losing: u64,
    delay_ms: u64,
}

impl Talker {
    fn new(session: SessionId, dice: &mut Dice) -> Self {
        let (sequence, timestamp) = (dice.next() as u16, dice.next() as u32);
        let talked = Duration::from_micros(1_000 + dice.below(20_000));
        Self { session, sequence, timestamp, ssrc: 7, marker: true, talked, losing: 0, delay_ms: 20 }
    }

    fn talk(&mut self, world: &mut World, audio: &[i16], network: Network) {
        for frame in audio.chunks(160) {
            let mut bytes = vec![0x80, if self.marker { 0x80 } else { 0 }];
            bytes.extend(self.sequence.to_be_bytes());
            bytes.extend(self.timestamp.to_be_bytes());
            bytes.extend(self.ssrc.to_be_bytes());
            bytes.resize(12 + frame.len(), 0);
            Codec::Pcmu.encode(frame, &mut bytes[12..]);
            self.marker = false;
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(160);
            let micros = self.talked.as_micros() as i64;
            let sent =
                world.base + Duration::from_micros((micros + micros * network.drift_ppm / 1_000_000) as u64);
            self.talked += Duration::from_millis(20);
            if self.losing == 0 && world.dice.below(1_000) < network.loss {
                self.losing = network.burst.max(1);
            }
            if self.losing > 0 {
                self.losing -= 1;
                continue;
            }
            let copies = 1 + u64::from(world.dice.below(1_000) < network.duplicates);
            for _ in 0..copies {
                let delay = Duration::from_micros(
                    self.delay_ms * 1_000 + world.dice.below(network.jitter_ms * 1_000 + 1),
                );
                world.deliver(sent + delay, self.session, address(A), bytes.clone());
            }
        }
    }

    /// Says nothing, and sends nothing.
    fn pause(&mut self, ms: u64) {
        self.talked += Duration::from_millis(ms);
        self.timestamp = self.timestamp.wrapping_add(ms as u32 * 8);
        self.marker = true;
    }
}

fn tone(hz: f32, seconds: usize) -> Vec<i16> {
    let mut samples = vec![0; seconds * 8_000];
    ToneGenerator::new(ToneSpec::continuous(hz, -10.0), 8_000).fill(&mut samples);
    samples
}

/// A voice that never stops: pulses of changing pitch through two resonances, with pauses of 300 ms.
fn voice(seconds: usize) -> Vec<i16> {
    let mut phase = 0.0_f32;
    let mut resonances = [(620.0_f32, 0.0_f32, 0.0_f32), (1_800.0, 0.0, 0.0)];
    (0..seconds * 8_000)
        .map(|n| {
            let time = n as f32 / 8_000.0;
            phase += (130.0 + 35.0 * (time * 3.1).sin()) / 8_000.0;
            let pulse = if phase >= 1.0 { 4_000.0 } else { 0.0 };
            phase -= phase.floor();
            let speaks = (time % 1.7) < 1.4;
            let mut sum = 0.0;
            for (hz, one, two) in &mut resonances {
                let radius = 0.97_f32;
                let turn = std::f32::consts::TAU * *hz / 8_000.0;
                let value = 2.0 * radius * turn.cos() * *one - radius * radius * *two
                    + pulse * f32::from(u8::from(speaks));
                (*two, *one) = (*one, value);
                sum += value;
            }
            sum.clamp(-30_000.0, 30_000.0) as i16
        })
        .collect()
}

fn heard(world: &World, id: SessionId) -> Vec<i16> {
    let mut audio = Vec::new();
    for sent in world.rtp(id) {
        let mut samples = [0; 160];
        Codec::Pcma.decode(sent.payload(), &mut samples);
        audio.extend(samples);
    }
    audio
}

fn stats(world: &World, id: SessionId) -> SessionStats {
    world.shard.session(id).expect("it is open").stats()
}

fn through(seed: u64, audio: &[i16], network: Network) -> (Vec<i16>, SessionStats) {
    let (mut world, a, b) = bridge(seed);
    Talker::new(a, &mut world.dice).talk(&mut world, audio, network);
    world.run_ms(audio.len() as u64 / 8 + 400);
    (heard(&world, b), stats(&world, a))
}

fn tone_through(seed: u64, network: Network) -> (ToneReport, SessionStats) {
    let (audio, stats) = through(seed, &tone(1_004.0, 20), network);
    (analyse(&audio, 8_000, &[1_004.0]), stats)
}

#[test]
fn jitter_alone_is_not_heard_and_costs_little_delay() {
    for (seed, jitter_ms) in [(1, 0), (2, 10), (3, 20), (4, 40), (5, 80)] {
        let network = Network { jitter_ms, duplicates: 10, ..Network::default() };
        let (report, stats) = tone_through(seed, network);
        let case = format!("jitter {jitter_ms} ms: {report} {stats:?}");
        assert_eq!((report.clicks, report.longest_gap_ms), (0, 0), "{case}");
        assert!(report.other_ms <= 30 && stats.late <= 4, "{case}");
        assert!(stats.playout_delay_ms <= jitter_ms as u32 + 25, "{case}");
        assert_eq!((stats.lost, stats.realigned), (0, 0), "{case}");
    }
}

#[test]
fn single_losses_are_concealed_without_gap_or_click() {
    for (seed, loss) in [(11, 10), (12, 30), (13, 100)] {
        for jitter_ms in [0, 20, 60] {
            let (report, stats) = tone_through(seed, Network { loss, jitter_ms, ..Network::default() });
            let case = format!("loss {loss} of 1000, jitter {jitter_ms} ms: {report} {stats:?}");
            // Of 100 losses in 1,000 some come in rows; a gap that grows while the delay does ends out of phase.
            let rows = if loss == 100 { 3 } else { 1 };
            assert!(report.clicks <= rows && report.longest_gap_ms <= 20, "{case}");
            assert!(report.heard_ms(1_004.0) >= 19_900, "{case}");
            assert!(stats.lost > 0 && stats.concealed <= 2 * (stats.lost + stats.late) + 20, "{case}");
        }
    }
}

#[test]
fn a_burst_of_losses_fades_and_comes_back() {
    let (report, stats) = tone_through(21, Network { loss: 5, burst: 8, ..Network::default() });
    assert!(stats.lost >= 16, "{stats:?}");
    // 160 ms less the 60 ms that are made up.
    assert!((60..=140).contains(&report.longest_gap_ms), "{report} {stats:?}");
    assert!(report.clicks as u64 <= stats.lost / 8 * 2, "{report} {stats:?}");
    assert_eq!((stats.late, stats.realigned), (0, 0), "{stats:?}");
}

#[test]
fn a_wrong_clock_neither_adds_delay_nor_costs_a_frame_in_ten_minutes() {
    for (drift_ppm, jitter_ms) in [(-200, 0), (200, 0), (-200, 15), (200, 15)] {
        let (mut world, a, b) = bridge(31);
        let network = Network { drift_ppm, jitter_ms, ..Network::default() };
        Talker::new(a, &mut world.dice).talk(&mut world, &tone(500.0, 600), network);
        let mut settled = 0;
        for minute in 0..10 {
            world.run_ms(59_900);
            let stats = stats(&world, a);
            settled = if minute == 0 { stats.playout_delay_ms } else { settled };
            assert!(
                stats.playout_delay_ms.abs_diff(settled) <= 4,
                "minute {minute}, settled {settled}: {stats:?}"
            );
            assert!((i64::from(stats.clock_drift_ppm) - drift_ppm).abs() <= 20, "minute {minute}: {stats:?}");
        }
        let (report, stats) = (analyse(&heard(&world, b), 8_000, &[500.0]), stats(&world, a));
        let case = format!("{drift_ppm} ppm, jitter {jitter_ms} ms: {report} {stats:?}");
        assert_eq!((report.clicks, report.longest_gap_ms, stats.late), (0, 0, 0), "{case}");
        // Moved sample by sample: a period now and then would be some 25 in ten minutes.
        assert!(stats.stretched <= 5 && stats.concealed <= 40, "{case}");
    }
}

#[test]
fn the_delay_returns_to_its_minimum_after_a_bad_period() {
    let (mut world, a, b) = bridge(41);
    let mut talker = Talker::new(a, &mut world.dice);
    let audio = tone(700.0, 60);
    talker.talk(&mut world, &audio[..80_000], Network::default());
    talker.talk(&mut world, &audio[80_000..120_000], Network { jitter_ms: 120, ..Network::default() });
    talker.talk(&mut world, &audio[120_000..], Network::default());
    world.run_ms(9_900);
    assert!(stats(&world, a).playout_delay_ms <= 25, "{:?}", stats(&world, a));
    world.run_ms(5_000);
    assert!(stats(&world, a).playout_delay_ms >= 100, "{:?}", stats(&world, a));
    world.run_ms(30_000);
    assert!(stats(&world, a).playout_delay_ms <= 25, "{:?}", stats(&world, a));
    world.run_ms(14_000);
    let (report, stats) = (analyse(&heard(&world, b), 8_000, &[700.0]), stats(&world, a));
    assert!(report.longest_gap_ms <= 20 && report.clicks <= 4, "{report} {stats:?}");
    assert!(stats.late <= 15, "{stats:?}");
}

#[test]
fn a_longer_way_is_followed_and_a_shorter_one_too() {
    let (mut world, a, b) = bridge(42);
    let mut talker = Talker::new(a, &mut world.dice);
    let audio = tone(700.0, 60);
    for (part, delay_ms) in audio.chunks(160_000).zip([20, 90, 20]) {
        talker.delay_ms = delay_ms;
        talker.talk(&mut world, part, Network::default());
    }
    for second in [19, 39, 59] {
        world.run_ms(second * 1_000 - (world.now - world.base).as_millis() as u64);
        assert!(stats(&world, a).playout_delay_ms <= 25, "{second} s: {:?}", stats(&world, a));
    }
    let (report, stats) = (analyse(&heard(&world, b), 8_000, &[700.0]), stats(&world, a));
    assert!(report.clicks <= 2 && report.longest_gap_ms <= 60 && stats.late <= 5, "{report} {stats:?}");
}

#[test]
fn what_was_held_up_for_a_second_does_not_delay_the_rest() {
    let (mut world, a, b) = bridge(43);
    let mut talker = Talker::new(a, &mut world.dice);
    let audio = tone(700.0, 40);
    talker.talk(&mut world, &audio[..40_000], Network::default());
    for (index, frame) in audio[40_000..48_000].chunks(160).enumerate() {
        talker.delay_ms = 1_020 - index as u64 * 20;
        talker.talk(&mut world, frame, Network::default());
    }
    talker.delay_ms = 20;
    talker.talk(&mut world, &audio[48_000..], Network::default());
    world.run_ms(7_000);
    assert!(stats(&world, a).playout_delay_ms <= 205, "{:?}", stats(&world, a));
    world.run_ms(32_500);
    let (report, stats) = (analyse(&heard(&world, b), 8_000, &[700.0]), stats(&world, a));
    assert!(stats.playout_delay_ms <= 30, "{stats:?}");
    assert!(report.longest_gap_ms <= 1_000 && report.clicks <= 4, "{report} {stats:?}");
}

#[test]
fn discontinuities_cost_no_more_than_the_delay_and_keep_it() {
    type Jump = fn(&mut Talker);
    let jumps: [(&str, Jump); 4] = [
        ("another source", |talker| (talker.ssrc, talker.timestamp) = (8, 99)),
        ("a timestamp 40 s ahead", |talker| talker.timestamp = talker.timestamp.wrapping_add(320_000)),
        ("a timestamp 3 s back", |talker| talker.timestamp = talker.timestamp.wrapping_sub(24_000)),
        ("a sequence number 5,000 ahead", |talker| talker.sequence = talker.sequence.wrapping_add(5_000)),
    ];
    for (name, jump) in jumps {
        let (mut world, a, b) = bridge(44);
        let mut talker = Talker::new(a, &mut world.dice);
        let audio = tone(700.0, 20);
        let network = Network { jitter_ms: 20, ..Network::default() };
        talker.talk(&mut world, &audio[..80_000], network);
        jump(&mut talker);
        talker.talk(&mut world, &audio[80_000..], network);
        world.run_ms(9_900);
        let before = stats(&world, a).playout_target_ms;
        world.run_ms(300);
        assert!(stats(&world, a).playout_target_ms.abs_diff(before) <= 12, "{name}: {:?}", stats(&world, a));
        world.run_ms(9_500);
        let (report, stats) = (analyse(&heard(&world, b), 8_000, &[700.0]), stats(&world, a));
        assert!(report.longest_gap_ms <= 80, "{name}: {report} {stats:?}");
        assert!(report.clicks <= 2, "{name}: {report} {stats:?}");
        assert!(stats.playout_delay_ms <= 45, "{name}: {stats:?}");
    }
}

#[test]
fn pauses_add_no_delay_whether_the_senders_clock_counts_them_or_not() {
    for counted in [true, false] {
        let (mut world, a, b) = bridge(45);
        let mut talker = Talker::new(a, &mut world.dice);
        let audio = tone(700.0, 1);
        let network = Network { jitter_ms: 10, ..Network::default() };
        for _ in 0..20 {
            talker.talk(&mut world, &audio, network);
            let timestamp = talker.timestamp;
            talker.pause(700);
            if !counted {
                talker.timestamp = timestamp;
            }
        }
        world.run_ms(20 * 1_700);
        let (report, stats) = (analyse(&heard(&world, b), 8_000, &[700.0]), stats(&world, a));
        assert!(stats.playout_delay_ms <= 52, "{counted}: {stats:?}");
        assert!(report.heard_ms(700.0) >= 20 * 980, "{counted}: {report} {stats:?}");
        assert_eq!(stats.late, 0, "{counted}: {stats:?}");
    }
}

#[test]
fn a_voice_that_stops_fades_without_a_jump() {
    let mut audio = voice(3);
    audio.truncate(21_600);
    let (heard, _) = through(51, &audio, Network::default());
    let steepest = |audio: &[i16]| audio.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap_or(0);
    let end = heard.iter().rposition(|sample| sample.abs() > 100).expect("something was heard");
    assert!(steepest(&heard[end - 1_000..]) <= steepest(&audio), "{}", steepest(&heard[end - 1_000..]));
    assert!(heard[end + 1..].iter().all(|sample| sample.abs() <= 100));
}

#[test]
fn a_voice_keeps_its_level_and_its_smoothness_through_losses() {
    let audio = voice(20);
    let steepest = |audio: &[i16]| audio.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap_or(0);
    let (clean, bound) = (rms(&audio), steepest(&audio));
    for (seed, loss, jitter_ms) in [(61, 0, 80), (62, 30, 20), (63, 100, 40)] {
        let (heard, stats) = through(seed, &audio, Network { loss, jitter_ms, ..Network::default() });
        let case = format!("loss {loss}, jitter {jitter_ms}: {stats:?}");
        assert!((rms(&heard[800..160_000]) / clean - 1.0).abs() < 0.1, "{case}");
        assert!(steepest(&heard) <= bound + bound / 4, "{} for {bound}, {case}", steepest(&heard));
    }
}
