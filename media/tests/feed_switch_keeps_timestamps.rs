//! Whatever a session hears, and however often that changes: its peer receives one stream.

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    checker::Checker,
    dice::Dice,
    peer::Link,
    world::{World, config},
};
use offhook_media::{
    Codec, Command, DigitString, Direction, Event, Feed, FinishReason, PayloadFormat, Playback, PlayerId,
    Prompt, SessionConfig, SessionId, dsp::tone::ToneSpec,
};

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";
const C: &str = "192.0.2.3:4000";
const SILENCE: u8 = 0xFF;

fn prompt(level: i16, ms: usize) -> Arc<Prompt> {
    Arc::new(Prompt::from_samples(&vec![level; ms * 8], 8_000))
}

fn byte_of(level: i16) -> u8 {
    let mut payload = [0];
    Codec::Pcmu.encode(&[level], &mut payload);
    payload[0]
}

fn play(world: &mut World, id: SessionId, player: u64, prompt: &Arc<Prompt>, times: Option<u32>) {
    let playback = Playback::prompt(Arc::clone(prompt), times);
    world.command(Command::Play(id, PlayerId(player), Box::new(playback)));
}

fn check(world: &World, id: SessionId, frame: u32) -> Checker {
    let mut checker = Checker::new(frame, Some(101));
    for sent in world.rtp(id) {
        checker.packet(sent.at, &sent.bytes);
    }
    checker
}

#[test]
fn prompt_bridge_hold_prompt_is_one_stream() {
    let mut world = World::new(1);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.run_ms(200);
    let hello = prompt(4_000, 300);
    play(&mut world, a, 1, &hello, None);
    world.run_ms(500);
    world.command(Command::StopPlay(a, PlayerId(1)));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.command(Command::Feed(b, Feed::Session(a)));
    world.run_ms(1_000);
    world.command(Command::Configure(
        a,
        Box::new(SessionConfig { direction: Direction::SendOnly, ..config(A) }),
    ));
    let music = prompt(-4_000, 250);
    play(&mut world, a, 2, &music, None);
    world.run_ms(1_000);
    world.command(Command::StopPlay(a, PlayerId(2)));
    world.command(Command::Configure(a, Box::new(config(A))));
    world.run_ms(1_000);
    play(&mut world, a, 3, &hello, Some(2));
    world.run_ms(1_000);

    let checker = check(&world, a, 160);
    assert_eq!(checker.violations, Vec::<String>::new());
    assert_eq!(checker.marked, 1, "nothing was lost, so only the first packet is marked");
    // 4.7 s are 235 frames.
    assert!((232..=236).contains(&checker.packets), "{} packets", checker.packets);
    let heard: Vec<u8> = world.rtp(a).map(|sent| sent.payload()[80]).collect();
    for voice in [SILENCE, byte_of(4_000), 0x30, byte_of(-4_000)] {
        let count = heard.iter().filter(|&&byte| byte == voice).count();
        assert!(count >= 8, "{voice:02x} was heard in {count} frames");
    }
    assert_eq!(world.shard.stats().continuity_violations, 0);
    let mut finished = Vec::new();
    for (_, event) in &world.events {
        if let Event::PlayFinished { player, reason, played_ms, .. } = event {
            finished.push((player.0, *reason, *played_ms));
        }
    }
    assert_eq!(finished.len(), 3);
    assert_eq!(finished[2], (3, FinishReason::Ended, 600));
}

#[test]
fn a_bridge_passes_packets_on_at_once_and_unchanged() {
    let mut world = World::new(2);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.run_ms(100);
    let before = world.rtp(a).count();
    world.run_ms(1_000);
    let heard: Vec<_> = world.rtp(a).skip(before).collect();
    assert_eq!(heard.len(), 50);
    assert!(heard.iter().all(|sent| sent.payload() == [0x30; 160]));
    // Each left at the very moment one came: B's packets come off A's grid.
    assert!(heard.windows(2).all(|pair| pair[1].at - pair[0].at == Duration::from_millis(20)));
}

#[test]
fn a_session_shows_its_live_chain() {
    let mut world = World::new(10);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.run_ms(100);
    let chain = |world: &World, id| world.shard.session(id).map(ToString::to_string).unwrap_or_default();
    assert_eq!(
        chain(&world, a),
        "Session 0/0.0: said PCMU; heard Session 0/1.0 → relay → PCMU 20 ms → 192.0.2.1:4000"
    );
    let send = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
    world.command(Command::Configure(a, Box::new(SessionConfig { send, ..config(A) })));
    assert!(chain(&world, a).contains("heard Session 0/1.0 → encode → PCMA 20 ms"));
    assert!(chain(&world, b).contains("said PCMU → jitter 40 ms → conceal; heard silence"));
}

#[test]
fn an_echo_says_what_it_heard() {
    let mut world = World::new(3);
    let a = world.party(A, 0x21);
    world.command(Command::Feed(a, Feed::Session(a)));
    world.run_ms(2_000);
    let checker = check(&world, a, 160);
    assert_eq!(checker.violations, Vec::<String>::new());
    assert!(world.rtp(a).filter(|sent| sent.payload() == [0x21; 160]).count() >= 98);
}

#[test]
fn another_codec_or_packet_time_is_decoded_and_encoded_anew() {
    for (codec, payload_type, ptime_ms) in [
        (Codec::Pcma, 8, 20),
        (Codec::Pcmu, 0, 30),
        (Codec::Pcma, 8, 10),
        (Codec::Pcmu, 0, 60),
        (Codec::Pcma, 8, 40),
    ] {
        let mut world = World::new(4);
        let a = world.party(A, byte_of(4_000));
        let b =
            world.open(SessionConfig { send: PayloadFormat { codec, payload_type }, ptime_ms, ..config(B) });
        world.command(Command::Feed(b, Feed::Session(a)));
        world.run_ms(3_000);
        let frame = codec.samples(ptime_ms);
        let checker = check(&world, b, frame as u32);
        assert_eq!(checker.violations, Vec::<String>::new(), "{codec} {ptime_ms} ms");
        assert_eq!(checker.marked, 1, "{codec} {ptime_ms} ms");
        let expected = 3_000 / u64::from(ptime_ms);
        assert!(
            checker.packets.abs_diff(expected) <= 2,
            "{codec} {ptime_ms} ms: {} packets",
            checker.packets
        );
        let mut samples = [0; 480];
        for sent in world.rtp(b).skip(200 / usize::from(ptime_ms)) {
            let length = codec.decode(sent.payload(), &mut samples);
            assert!(
                samples[..length].iter().all(|&s| (s - 4_000).abs() < 200),
                "{codec} {ptime_ms}: {samples:?}"
            );
        }
    }
}

#[test]
fn a_tone_goes_on_through_a_hold_and_the_clock_does_too() {
    let mut world = World::new(5);
    let a = world.party(A, 0x20);
    world.command(Command::Feed(a, Feed::tone(ToneSpec::continuous(425.0, -10.0))));
    world.run_ms(500);
    let held = SessionConfig { direction: Direction::Inactive, ..config(A) };
    world.command(Command::Configure(a, Box::new(held)));
    let before = world.rtp(a).count();
    let last = world.rtp(a).last().expect("sent").timestamp();
    world.run_ms(2_000);
    assert_eq!(world.rtp(a).count(), before, "a peer that holds us hears nothing");
    world.command(Command::Configure(a, Box::new(config(A))));
    world.run_ms(500);
    let checker = check(&world, a, 160);
    assert_eq!(checker.violations, Vec::<String>::new());
    assert_eq!(checker.marked, 2, "the first packet, and the first after the hold");
    let resumed = world.rtp(a).nth(before).expect("sent").timestamp();
    assert!(resumed.wrapping_sub(last).abs_diff(2_020 * 8) <= 160, "the clock ran on");
}

#[test]
fn a_silent_source_is_filled_with_silence() {
    let mut world = World::new(6);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.run_ms(500);
    world.peer(b).talks = false;
    world.run_ms(1_000);
    let before = world.rtp(a).count();
    world.run_ms(1_000);
    let pause: Vec<_> = world.rtp(a).skip(before).collect();
    assert_eq!(pause.len(), 50);
    assert!(pause.iter().all(|sent| sent.payload() == [SILENCE; 160]));
    world.peer(b).talks = true;
    world.run_ms(500);
    assert!(world.rtp(a).last().is_some_and(|sent| sent.payload() == [0x30; 160]));
    let checker = check(&world, a, 160);
    assert_eq!(checker.violations, Vec::<String>::new());
    // The first packet, and the first after the 60 ms that are waited for.
    assert!(checker.marked <= 2, "{}", checker.marked);
}

#[test]
fn a_late_worker_skips_frames_and_never_bursts() {
    let mut world = World::new(7);
    let a = world.party(A, 0x20);
    play(&mut world, a, 1, &prompt(1_000, 200), None);
    world.run_ms(500);
    world.stall_ms(13);
    world.run_ms(500);
    assert_eq!(world.shard.stats().skipped_frames, 0, "less than a frame is made up for");
    world.stall_ms(170);
    world.run_ms(500);
    let checker = check(&world, a, 160);
    assert_eq!(checker.violations, Vec::<String>::new());
    assert_eq!(checker.marked, 2);
    assert!((7..=8).contains(&world.shard.stats().skipped_frames), "{:?}", world.shard.stats());
    assert!(world.shard.stats().late_beats >= 2);
}

#[test]
fn digits_interrupt_a_bridge_without_breaking_the_stream() {
    let mut world = World::new(8);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.run_ms(300);
    let digits = DigitString::parse("12.#").expect("digits");
    world.command(Command::SendDigits(a, Box::new(digits)));
    world.run_ms(3_000);
    let checker = check(&world, a, 160);
    assert_eq!(checker.violations, Vec::<String>::new());
    assert_eq!(checker.events, 3 * (5 + 2));
    assert_eq!(world.told(|event| matches!(event, Event::DigitsSent(_))), 1);
    // 3.3 s but for three digits of 200 ms, the waits between included.
    let heard = world.rtp(a).filter(|sent| sent.payload() == [0x30; 160]).count();
    assert!((130..=136).contains(&heard), "{heard} frames of the bridge");
}

#[test]
fn a_key_of_one_party_is_pressed_anew_for_the_other() {
    let mut world = World::new(9);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    let c = world.open(SessionConfig { send_event: None, ..config(C) });
    world.command(Command::Feed(a, Feed::Session(b)));
    world.command(Command::Feed(c, Feed::Session(b)));
    world.run_ms(300);
    world.peer(b).press(5, 10);
    world.run_ms(1_000);
    let checker = check(&world, a, 160);
    assert_eq!(checker.violations, Vec::<String>::new());
    assert!(checker.events >= 8, "{}", checker.events);
    let codes: Vec<_> =
        world.rtp(a).filter(|sent| sent.payload_type() == 101).map(|sent| sent.payload()[0]).collect();
    assert!(codes.iter().all(|&code| code == 5));
    assert_eq!(world.told(|event| matches!(event, Event::DigitDown(id, 5) if *id == b)), 1);
    let lengths: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| if let Event::DigitUp(_, 5, ms) = event { Some(*ms) } else { None })
        .collect();
    assert_eq!(lengths, [160]);
    // Where events were not negotiated the key is heard as its two tones.
    assert_eq!(check(&world, c, 160).violations, Vec::<String>::new());
    let mut samples = Vec::new();
    for sent in world.rtp(c).filter(|sent| sent.payload() != [0x30; 160] && sent.payload() != [SILENCE; 160])
    {
        let mut frame = [0; 160];
        Codec::Pcmu.decode(sent.payload(), &mut frame);
        samples.extend(frame);
    }
    let frames = samples.len() / 160;
    assert!((8..=11).contains(&frames), "{frames} frames of tone");
}

#[test]
fn a_digit_survives_an_offer_that_forbids_and_one_that_allows_telephone_events_again() {
    let mut world = World::new(10);
    let a = world.party(A, 0x20);
    world.run_ms(300);
    let digits = DigitString::parse("12").expect("digits");
    let digits = DigitString { on_ms: 400, ..digits };
    world.command(Command::SendDigits(a, Box::new(digits)));
    for send_event in [None, Some(101), None, Some(101)] {
        world.run_ms(70);
        world.command(Command::Configure(a, Box::new(SessionConfig { send_event, ..config(A) })));
    }
    world.run_ms(2_000);
    // An event that became forbidden could not be ended properly, but nothing goes back in time.
    let violations = check(&world, a, 160).violations;
    assert!(violations.iter().all(|violation| violation.contains("ends of event")), "{violations:?}");
    assert_eq!(world.shard.stats().continuity_violations, 0);
    assert_eq!(world.told(|event| matches!(event, Event::DigitsSent(_))), 1);
    // The second digit is sent as the first began.
    assert!(world.rtp(a).any(|sent| sent.payload_type() == 101 && sent.payload()[0] == 2));
}

/// Each is 260 switches.
const SEEDS: u64 = 40;

struct Switching {
    world: World,
    dice: Dice,
    ids: [SessionId; 3],
    prompts: Vec<Arc<Prompt>>,
    players: u64,
    switches: u64,
    /// What the third party speaks.
    third: SessionConfig,
}

impl Switching {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let ids = [world.party(A, 0x20), world.party(B, 0x30), world.party(C, 0x40)];
        let mut dice = Dice::new(seed ^ 0xABCD);
        let jitter = [0, 8, 30, 60][dice.below(4) as usize];
        for peer in &mut world.peers {
            peer.link = Link {
                delay_ms: dice.below(40),
                jitter_ms: jitter,
                loss_percent: [0, 0, 3, 15][dice.below(4) as usize],
                duplicate_percent: dice.below(3),
            };
        }
        // One of three speaks another codec or in other packet times, so that packets and decoded audio take turns.
        let mut third = config(C);
        if dice.percent(50) {
            third.send = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
            world.peers[2].payload_type = 8;
        }
        third.ptime_ms = [20, 20, 10, 30, 60][dice.below(5) as usize];
        world.peers[2].length = Codec::Pcma.samples(third.ptime_ms);
        world.command(Command::Configure(ids[2], Box::new(third.clone())));
        world.late = Duration::from_micros(dice.below(4_000));
        let prompts = vec![prompt(1_000, 90), prompt(-2_000, 333), prompt(3_000, 15)];
        Self { world, dice, ids, prompts, players: 0, switches: 0, third }
    }

    fn config_of(&self, index: usize) -> SessionConfig {
        if index == 2 { self.third.clone() } else { config([A, B][index]) }
    }

    fn frame(&self, id: SessionId) -> u32 {
        if id == self.ids[2] { u32::from(self.third.ptime_ms) * 8 } else { 160 }
    }

    fn switch(&mut self) {
        self.switches += 1;
        let index = self.dice.below(3) as usize;
        let id = self.ids[index];
        match self.dice.below(16) {
            0..=2 => {
                self.players += 1;
                let prompt = Arc::clone(&self.prompts[self.dice.below(3) as usize]);
                let times = [None, Some(1), Some(4)][self.dice.below(3) as usize];
                play(&mut self.world, id, self.players, &prompt, times);
            }
            3..=4 => self.world.command(Command::StopPlay(id, PlayerId(self.players))),
            5..=9 => {
                let source = self.ids[self.dice.below(3) as usize];
                self.world.command(Command::Feed(id, Feed::Session(source)));
            }
            10 => self.world.command(Command::Feed(id, Feed::Silence)),
            11 => self.world.command(Command::Feed(id, Feed::tone(ToneSpec::continuous(425.0, -13.0)))),
            12 => {
                let direction =
                    [Direction::SendRecv, Direction::SendOnly, Direction::Inactive, Direction::RecvOnly]
                        [self.dice.below(4) as usize];
                let config = SessionConfig { direction, ..self.config_of(index) };
                self.world.command(Command::Configure(id, Box::new(config)));
            }
            13 => {
                let config = self.config_of(index);
                self.world.command(Command::Configure(id, Box::new(config)));
            }
            14 => {
                let digits = DigitString::parse("1,9").expect("digits");
                self.world.command(Command::SendDigits(id, Box::new(digits)));
            }
            _ => {
                let (code, frames) = (self.dice.below(16) as u8, 3 + self.dice.below(12) as u8);
                let peer = self.world.peer(id);
                peer.press(code, frames);
                peer.talks = !peer.talks || frames > 6;
            }
        }
        if self.dice.percent(2) {
            let ms = self.dice.below(150);
            self.world.stall_ms(ms);
        }
    }
}

#[test]
fn ten_thousand_random_switches_leave_three_unbroken_streams() {
    let (mut switches, mut packets, mut events) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut switching = Switching::new(seed);
        while switching.switches < 260 {
            switching.switch();
            let ms = switching.dice.below(120);
            switching.world.run_ms(ms);
        }
        for id in switching.ids {
            let checker = check(&switching.world, id, switching.frame(id));
            assert_eq!(checker.violations, Vec::<String>::new(), "seed {seed}, {id:?}");
            assert!(checker.packets > 50, "seed {seed}, {id:?}: {} packets", checker.packets);
            packets += checker.packets;
            events += checker.events;
        }
        assert_eq!(switching.world.shard.stats().continuity_violations, 0, "seed {seed}");
        switches += switching.switches;
    }
    assert!(switches >= 10_000);
    assert!(packets > 50_000 && events > 1_000, "{packets} packets, {events} of events");
}
