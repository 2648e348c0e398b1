//! Packets and ticks of running sessions leave the heap alone.
#![allow(unsafe_code, reason = "an allocator that counts")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use common::world::{base, config};
use offhook_media::{
    Channel, Codec, Command, Detectors, Feed, Inband, MixId, PayloadFormat, Piece, Playback, PlayerId,
    Prompt, SessionConfig, SessionId, Shard, ShardConfig, TapId,
    codec::L16Rate,
    dsp::{
        answering_machine::AnsweringMachineConfig,
        tone::{ToneGenerator, ToneSpec},
        tone_plan::Country,
        tone_script::ToneScript,
        voice_activity::VoiceConfig,
    },
    graph::{recorder::recorder, stream::stream},
    srtp::{KeySource, Keys, SendContext, Suite},
    time::BEAT,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Blocks that were not given back.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        HELD.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.with(|count| count.set(count.get() - 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sessions that all receive a packet every 20 ms.
struct Bench {
    shard: Shard,
    now: Instant,
    ids: Vec<(SessionId, SocketAddr)>,
    sequence: u16,
    beats: u64,
    /// What all say, PCMU, again and again.
    speech: Vec<u8>,
    digits: u64,
    /// What they say it in; those beyond its end in PCMU. All of 160 bytes and as many ticks in 20 ms.
    payload_types: Vec<u8>,
    /// Of those who encrypt.
    peers: Vec<SendContext>,
}

impl Bench {
    fn new(configs: Vec<SessionConfig>) -> Self {
        let now = base();
        let mut shard = Shard::new(ShardConfig { worker: 0, seed: 1, sessions: configs.len() }, now);
        let mut ids = Vec::new();
        for (slot, config) in configs.into_iter().enumerate() {
            let id = SessionId::new(0, slot as u32, 0);
            ids.push((id, config.remote.expect("a remote address")));
            shard.handle_command(now, Command::Open(id, Box::new(config)));
        }
        Self {
            shard,
            now,
            ids,
            sequence: 65_000,
            beats: 0,
            speech: vec![0x55; 160],
            digits: 0,
            payload_types: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn command(&mut self, command: Command) {
        self.shard.handle_command(self.now, command);
    }

    /// Returns how many datagrams left.
    fn run(&mut self, time: Duration, mut each_beat: impl FnMut()) -> u64 {
        let mut sent = 0;
        for _ in 0..time.as_millis() / BEAT.as_millis() {
            self.now += BEAT;
            self.beats += 1;
            if self.beats.is_multiple_of(4) {
                self.speak();
            }
            self.shard.handle_beat(self.now);
            while let Some(transmit) = self.shard.poll_transmit() {
                sent += u64::from(!transmit.bytes.is_empty());
            }
            while let Some(event) = self.shard.poll_event() {
                self.digits += u64::from(matches!(event, offhook_media::Event::DigitDown(..)));
            }
            each_beat();
        }
        sent
    }

    fn speak(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        let timestamp = u32::from(self.sequence).wrapping_mul(160);
        let place = usize::from(self.sequence) * 160 % self.speech.len();
        for (index, &(id, from)) in self.ids.iter().enumerate() {
            let mut room = [0; 172 + 16];
            let overhead = self.peers.get(index).map_or(0, |peer| peer.suite().rtp_overhead());
            let datagram = &mut room[..172 + overhead];
            datagram[12..172].copy_from_slice(&self.speech[place..place + 160]);
            datagram[..2].copy_from_slice(&[0x80, self.payload_types.get(index).copied().unwrap_or(0)]);
            datagram[2..4].copy_from_slice(&self.sequence.to_be_bytes());
            datagram[4..8].copy_from_slice(&timestamp.to_be_bytes());
            datagram[8..12].copy_from_slice(&(index as u32 + 1).to_be_bytes());
            if let Some(peer) = self.peers.get_mut(index) {
                peer.protect_rtp(datagram).expect("in order");
            }
            self.shard.handle_datagram(self.now, id, Channel::Rtp, from, datagram);
        }
    }

    /// Warms up, then lets 11 seconds pass, reports included, and counts.
    fn measure(&mut self, mut each_beat: impl FnMut()) -> (u64, u64) {
        self.run(Duration::from_secs(3), &mut each_beat);
        let before = ALLOCATIONS.with(Cell::get);
        let sent = self.run(Duration::from_secs(11), &mut each_beat);
        (ALLOCATIONS.with(Cell::get) - before, sent)
    }
}

fn party(number: u8) -> SessionConfig {
    config(&format!("192.0.2.{number}:4000"))
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert!(ALLOCATIONS.with(Cell::get) > before);
}

#[test]
fn echo() {
    let mut bench = Bench::new((1..=8).map(party).collect());
    for (id, _) in bench.ids.clone() {
        bench.command(Command::Feed(id, Feed::Session(id)));
    }
    let (allocations, sent) = bench.measure(|| {});
    assert_eq!(allocations, 0);
    assert!(sent >= 8 * 550, "{sent}");
}

#[test]
fn playback_and_tones() {
    let mut bench = Bench::new((1..=8).map(party).collect());
    let prompt = Arc::new(Prompt::from_samples(&[1_000; 8 * 777], 8_000));
    for (index, (id, _)) in bench.ids.clone().into_iter().enumerate() {
        if index % 2 == 0 {
            let playback = Playback::prompt(Arc::clone(&prompt), None);
            bench.command(Command::Play(id, PlayerId(1), Box::new(playback)));
        } else {
            bench.command(Command::Feed(id, Feed::tone(ToneSpec::continuous(425.0, -13.0))));
        }
    }
    let (allocations, sent) = bench.measure(|| {});
    assert_eq!(allocations, 0);
    assert!(sent >= 8 * 550, "{sent}");
}

#[test]
fn relay_of_packets_and_of_decoded_audio() {
    let mut configs: Vec<_> = (1..=4).map(party).collect();
    configs[3].send = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
    configs[3].ptime_ms = 30;
    let mut bench = Bench::new(configs);
    let ids: Vec<_> = bench.ids.iter().map(|&(id, _)| id).collect();
    for (listener, source) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        bench.command(Command::Feed(ids[listener], Feed::Session(ids[source])));
    }
    let (allocations, sent) = bench.measure(|| {});
    assert_eq!(allocations, 0);
    assert!(sent >= 3 * 550 + 366, "{sent}");
}

#[test]
fn a_mix_of_talkers_and_listeners() {
    let mut configs: Vec<_> = (1..=12).map(party).collect();
    configs[3].send = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
    configs[5].ptime_ms = 30;
    let mut bench = Bench::new(configs);
    let ids: Vec<_> = bench.ids.iter().map(|&(id, _)| id).collect();
    for &id in &ids {
        bench.command(Command::Feed(id, Feed::Mix(MixId(1))));
    }
    // Those who are muted share what they hear.
    for &id in &ids[4..] {
        bench.command(Command::Mute(id, true));
    }
    bench.command(Command::Gain(ids[0], ids[11], Some(1.0)));
    let (allocations, sent) = bench.measure(|| {});
    assert_eq!(allocations, 0);
    assert!(sent >= 11 * 550 + 366, "{sent}");
}

#[test]
fn detectors_that_hear_something_in_every_tick() {
    let mut bench = Bench::new((1..=4).map(party).collect());
    let ids: Vec<_> = bench.ids.iter().map(|&(id, _)| id).collect();
    for (listener, source) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        bench.command(Command::Feed(ids[listener], Feed::Session(ids[source])));
    }
    for (index, &id) in ids.iter().enumerate() {
        let digits = if index % 2 == 0 { Inband::Remove } else { Inband::Tell };
        let detectors = Detectors {
            digits,
            tones: Some(Country::Us),
            answering_machine: Some(AnsweringMachineConfig::default()),
            beep: true,
            speech: Some(VoiceConfig::default()),
        };
        bench.command(Command::Detect(id, Box::new(detectors)));
        bench.command(Command::Answered(id));
    }
    // All sixteen keys, as tones, for ever.
    let mut keys = Vec::new();
    for code in 0..16 {
        let mut tone = [0; 8 * 80];
        ToneGenerator::new(ToneSpec::dtmf(code).expect("a key"), 8_000).fill(&mut tone);
        keys.extend(tone);
        keys.extend([0; 8 * 80]);
    }
    bench.speech = vec![0; keys.len()];
    Codec::Pcmu.encode(&keys, &mut bench.speech);
    let (allocations, sent) = bench.measure(|| {});
    assert_eq!(allocations, 0);
    assert!(sent >= 4 * 500, "{sent}");
    assert!(bench.digits > 4 * 16, "{}", bench.digits);
}

#[test]
fn encryption() {
    let mut source = KeySource::new([1; 32]);
    let mut configs: Vec<_> = (1..=8).map(party).collect();
    let mut peers = Vec::new();
    for (config, suite) in configs.iter_mut().zip(Suite::ALL.into_iter().cycle()) {
        let keys = Keys { send: source.master_key(suite), receive: source.master_key(suite) };
        peers.push(SendContext::new(&keys.receive));
        config.srtp = Some(keys);
    }
    let mut bench = Bench::new(configs);
    bench.peers = peers;
    for (id, _) in bench.ids.clone() {
        bench.command(Command::Feed(id, Feed::Session(id)));
    }
    let (allocations, sent) = bench.measure(|| {});
    assert_eq!(allocations, 0);
    assert!(sent >= 8 * 550, "{sent}");
    for (id, _) in &bench.ids {
        let stats = bench.shard.session(*id).expect("open").stats();
        assert_eq!((stats.unauthenticated, stats.replayed, stats.lost), (0, 0, 0));
        assert!(stats.received >= 690, "{}", stats.received);
    }
}

/// Parties of several codecs, in pairs or in one room. Half of them only listen.
fn of_several_rates(codecs: &[Codec], in_room: bool) -> Bench {
    let formats =
        codecs.iter().map(|&codec| PayloadFormat { codec, payload_type: codec.usual_payload_type() });
    let mut configs: Vec<_> = (1..=8).map(party).collect();
    for (config, format) in configs.iter_mut().zip(formats.cycle()) {
        config.send = format;
        if !config.receive.contains(&format) {
            config.receive.push(format);
        }
    }
    let say = |config: &SessionConfig| if config.send.codec == Codec::G722 { 9 } else { 0 };
    let payload_types = configs.iter().map(say).collect();
    let mut bench = Bench::new(configs);
    bench.payload_types = payload_types;
    let ids: Vec<_> = bench.ids.iter().map(|&(id, _)| id).collect();
    for (index, &id) in ids.iter().enumerate() {
        let pair = Feed::Session(ids[index ^ 1]);
        bench.command(Command::Feed(id, if in_room { Feed::Mix(MixId(1)) } else { pair }));
        bench.command(Command::Mute(id, index >= 4));
    }
    bench
}

#[test]
fn transcoding_and_rooms_of_several_rates() {
    let codecs = [Codec::G722, Codec::Pcma, Codec::L16(L16Rate::Hz16000), Codec::Pcmu];
    for in_room in [false, true] {
        let mut bench = of_several_rates(&codecs, in_room);
        let (allocations, sent) = bench.measure(|| {});
        assert_eq!(allocations, 0, "in a room: {in_room}");
        assert!(sent >= 8 * 550, "{sent}");
    }
}

/// Opus takes memory while it computes, which is its library's way. All of it comes back: nothing piles up.
#[cfg(feature = "opus")]
#[test]
fn opus_gives_back_what_it_takes() {
    for in_room in [false, true] {
        let mut bench = of_several_rates(&[Codec::Opus, Codec::G722, Codec::Opus, Codec::Pcmu], in_room);
        bench.run(Duration::from_secs(1), || {});
        let before = HELD.with(Cell::get);
        let mut most = 0;
        let sent = bench.run(Duration::from_secs(3), || most = most.max(HELD.with(Cell::get)));
        assert_eq!((HELD.with(Cell::get), most), (before, before), "in a room: {in_room}");
        assert!(sent >= 8 * 150, "{sent}");
    }
}

#[test]
fn tap() {
    let mut bench = Bench::new((1..=2).map(party).collect());
    let ids: Vec<_> = bench.ids.iter().map(|&(id, _)| id).collect();
    bench.command(Command::Feed(ids[0], Feed::Session(ids[1])));
    bench.command(Command::Feed(ids[1], Feed::Session(ids[0])));
    let (end, mut recording) = recorder(1_000);
    bench.command(Command::Tap(ids[0], TapId(1), Box::new(end)));
    let mut samples = 0;
    let (allocations, _) = bench.measure(|| recording.read(|_, _, audio| samples += audio.len()));
    assert_eq!(allocations, 0);
    assert_eq!(recording.overruns(), 0);
    // Both tracks of 14 s.
    assert!((2 * 13 * 8_000..=2 * 14 * 8_000).contains(&samples), "{samples}");
}

#[test]
fn codecs_and_resamplers() {
    use offhook_media::{
        codec::{
            Decoder, Encoder, EncoderSettings,
            comfort_noise::{Analyser, Generator},
        },
        dsp::polyphase::Polyphase,
    };
    let audio: Vec<i16> = (0..960).map(|at| ((f64::from(at) * 0.2).sin() * 9000.0) as i16).collect();
    let (mut payload, mut out) = ([0; 2000], [0; 960]);
    for &codec in Codec::ALL {
        // Opus takes memory while it computes, which is its library's way, and gives it back.
        if codec.name() == "opus" {
            continue;
        }
        let rate = codec.sample_rate();
        let (mut encoder, mut decoder) =
            (Encoder::new(codec, rate, EncoderSettings::default()), Decoder::new(codec, rate));
        let before = ALLOCATIONS.with(Cell::get);
        for _ in 0..10 {
            let length = encoder.encode(&audio[..rate as usize / 50], &mut payload);
            assert_eq!(decoder.decode(&payload[..length], &mut out), rate as usize / 50);
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{codec}");
    }
    let mut up = Polyphase::new(8_000, 48_000).expect("known rates");
    let (mut analyser, mut generator) = (Analyser::new(), Generator::new(1));
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..10 {
        assert_eq!(up.process(&audio[..160], &mut out), 960);
        analyser.listen(&audio[..160]);
        let length = analyser.payload(&mut payload[..5]);
        generator.update(&payload[..length]);
        generator.fill(&mut out);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get), before);
}

#[test]
fn streams_lists_and_a_volume() {
    let mut bench = Bench::new((1..=8).map(party).collect());
    let prompt = Arc::new(Prompt::from_samples(&[1_000; 8 * 777], 8_000));
    let (samples, mut writers) = ([1_000; 4_800], Vec::new());
    for (index, (id, _)) in bench.ids.clone().into_iter().enumerate() {
        let pieces = match index % 4 {
            0 => vec![Piece::Prompt(Arc::clone(&prompt))],
            1 => vec![
                Piece::Prompt(Arc::clone(&prompt)),
                Piece::Silence(150),
                Piece::Tones(Box::new(ToneScript::parse("425@-19;1(.1/.1/1)").unwrap())),
            ],
            other => {
                let (mut writer, stream) = stream(if other == 2 { 8_000 } else { 48_000 }, 400);
                // Some time ahead, as a writer is.
                writer.write(&samples);
                writers.push(writer);
                vec![Piece::Stream(Box::new(stream))]
            }
        };
        let volume_db = if index % 2 == 0 { -6.0 } else { 0.0 };
        let playback = Playback { times: None, volume_db, markers: vec![100, 500], ..Playback::of(pieces) };
        bench.command(Command::Play(id, PlayerId(1), Box::new(playback)));
    }
    let (allocations, sent) = bench.measure(|| {
        for writer in &mut writers {
            let count = writer.rate() as usize / 100;
            writer.write(&samples[..count]);
        }
    });
    assert_eq!(allocations, 0);
    assert!(sent >= 8 * 550, "{sent}");
    assert!(writers.iter().all(|writer| writer.starved() == 0));
}

#[test]
fn commands_and_events_are_small_and_everything_can_move_to_a_worker() {
    assert!(size_of::<Command>() <= 64, "{}", size_of::<Command>());
    assert!(size_of::<offhook_media::Event>() <= 64, "{}", size_of::<offhook_media::Event>());
    fn is_send<T: Send>() {}
    is_send::<Shard>();
    is_send::<Command>();
    is_send::<offhook_media::Event>();
    is_send::<offhook_media::Recording>();
}
