//! A live `Shard`: echo, bridges with and without transcoding, mixes, prompts, tones, taps and digits, while peers
//! send whatever comes to their mind.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use media::{
    Codec, Command, Detectors, DigitString, Direction, Event, Feed, Inband, Latch, MixId, PayloadFormat,
    Playback, PlayerId, Prompt, SessionConfig, SessionId, Shard, TapId,
    dsp::{
        answering_machine::AnsweringMachineConfig, tone::ToneSpec, tone_plan::Country,
        voice_activity::VoiceConfig,
    },
    graph::recorder::{Recording, recorder},
    rtcp::Compound,
    rtp::{Class, Packet, classify},
    shard::{Channel, ShardConfig, Slots},
    time::BEAT,
};

use super::{Target, Verdict};
use crate::{mutate, random::Random};

/// Sessions open at a time.
const SESSIONS: usize = 8;

pub struct LiveShard {
    shard: Shard,
    slots: Slots,
    now: Instant,
    peers: Vec<Peer>,
    prompt: Arc<Prompt>,
    serial: u64,
    events: usize,
}

/// One session and the stream that its peer would send if it were sane.
struct Peer {
    id: SessionId,
    number: u16,
    sequence: u16,
    timestamp: u32,
    /// Sequence number and SSRC of the last packet that the shard sent there.
    heard: Option<(u16, u32)>,
    recording: Option<(TapId, Recording)>,
}

impl LiveShard {
    #[allow(clippy::disallowed_methods, reason = "a base for virtual time")]
    pub fn new() -> Self {
        let now = Instant::now();
        let samples: Vec<i16> = (0..8_000).map(|at| ((at % 80) * 100) as i16).collect();
        let mut live = Self {
            shard: Shard::new(ShardConfig { worker: 0, seed: 7, sessions: SESSIONS }, now),
            slots: Slots::new(1, SESSIONS as u32),
            now,
            peers: Vec::new(),
            prompt: Arc::new(Prompt::from_samples(&samples, 8_000)),
            serial: 0,
            events: 0,
        };
        live.open_all();
        live
    }
}

impl Target for LiveShard {
    fn name(&self) -> &'static str {
        "shard"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["rtp", "rtcp"]
    }

    fn share(&self) -> usize {
        15
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        if !random.one_in(4) {
            mutate::bytes(input, other, random);
        }
    }

    fn run(&mut self, input: &[u8], random: &mut Random) -> Verdict {
        if random.one_in(4) {
            // Beats come in time, late, or far too late.
            let beats = *random.pick(&[&1, &1, &1, &1, &1, &1, &3, &50]);
            self.now += BEAT * beats;
            self.shard.handle_beat(self.now);
            self.drain();
        }
        if random.one_in(50) {
            self.act(random);
            self.drain();
        }
        let which = random.below(self.peers.len());
        let mut datagram = input.to_vec();
        let channel = if random.one_in(6) { Channel::Rtcp } else { Channel::Rtp };
        let from = self.sender(which, channel, random);
        if !random.one_in(3) {
            self.peers[which].continue_stream(&mut datagram, random);
        }
        self.shard.handle_datagram(self.now, self.peers[which].id, channel, from, &mut datagram);
        self.drain();
        Verdict::None
    }

    fn report(&self) -> Option<String> {
        let stats = self.shard.stats();
        Some(format!("{} datagrams sent, {} events", stats.transmits, self.events))
    }

    fn remembers(&self) -> bool {
        true
    }

    fn allowance(&self, length: usize) -> usize {
        // Taps bring their rings.
        8 * 1024 * 1024 + 10 * length
    }

    fn settle(&mut self) -> Result<(), String> {
        for peer in &self.peers {
            self.shard.handle_command(self.now, Command::Close(peer.id));
        }
        self.now += Duration::from_secs(1);
        self.shard.handle_beat(self.now);
        self.drain();
        let (open, stats) = (self.shard.session_count(), self.shard.stats());
        if open != 0 || self.shard.poll_timeout().is_some() {
            return Err(format!("{open} sessions are left"));
        }
        if stats.continuity_violations != 0 {
            return Err(format!("broken continuity: {stats:?}"));
        }
        self.peers.clear();
        self.open_all();
        self.drain();
        Ok(())
    }
}

fn detectors(random: &mut Random) -> Detectors {
    let mut wanted = |value: bool| value && random.below(2) == 0;
    Detectors {
        digits: if wanted(true) { Inband::Remove } else { Inband::Tell },
        tones: wanted(true).then_some(Country::Uk),
        answering_machine: wanted(true).then(AnsweringMachineConfig::default),
        beep: wanted(true),
        speech: wanted(true).then(VoiceConfig::default),
    }
}

impl LiveShard {
    fn open_all(&mut self) {
        while self.peers.len() < SESSIONS {
            self.open();
        }
        let ids: Vec<SessionId> = self.peers.iter().map(|peer| peer.id).collect();
        let feeds = [
            Feed::Session(ids[0]),
            Feed::Session(ids[2]),
            Feed::Session(ids[1]),
            Feed::Session(ids[4]),
            Feed::Session(ids[3]),
            Feed::Silence,
            Feed::tone(ToneSpec::continuous(425.0, -10.0)),
            Feed::Session(ids[0]),
        ];
        for (id, feed) in ids.into_iter().zip(feeds) {
            self.shard.handle_command(self.now, Command::Feed(id, feed));
        }
        self.play(5);
        self.tap(3);
    }

    fn open(&mut self) {
        let id = self.slots.allocate(0, None).expect("there are as many slots as sessions");
        let number = id.slot() as u16;
        self.peers.push(Peer { id, number, sequence: 65_500, timestamp: 0, heard: None, recording: None });
        self.shard.handle_command(self.now, Command::Open(id, Box::new(config(number, 0))));
    }

    /// Something the application does.
    fn act(&mut self, random: &mut Random) {
        let which = random.below(self.peers.len());
        let id = self.peers[which].id;
        let command = match random.below(15) {
            0 => Command::Configure(id, Box::new(config(self.peers[which].number, random.below(100)))),
            1 => Command::Feed(id, Feed::Session(self.peers[random.below(SESSIONS)].id)),
            2 => Command::Feed(id, Feed::Silence),
            3 => Command::Feed(id, Feed::tone(ToneSpec::continuous(1_000.0, -20.0))),
            12 => Command::DigitHeard(id, random.below(18) as u8, random.below(65_536) as u16),
            13 => Command::Answered(id),
            14 => Command::Detect(id, Box::new(detectors(random))),
            8 => Command::Feed(id, Feed::Mix(MixId(random.below(2) as u64))),
            9 => Command::Mute(id, random.below(2) == 0),
            10 => {
                let gain = [None, Some(0.0), Some(1.0), Some(4.0), Some(f32::NAN)][random.below(5)];
                Command::Gain(id, self.peers[random.below(SESSIONS)].id, gain)
            }
            4 => return self.play(which),
            5 => Command::StopPlay(id, PlayerId(self.serial)),
            6 => match DigitString::parse("1,*#d.5") {
                Ok(digits) => Command::SendDigits(id, Box::new(digits)),
                Err(_) => return,
            },
            7 => return self.tap(which),
            _ => {
                // Its slot is used again at once, by another generation.
                self.shard.handle_command(self.now, Command::Close(id));
                self.drain();
                self.peers.remove(which);
                return self.open();
            }
        };
        self.shard.handle_command(self.now, command);
    }

    fn play(&mut self, which: usize) {
        self.serial += 1;
        let playback = Playback::prompt(Arc::clone(&self.prompt), Some(2));
        let command = Command::Play(self.peers[which].id, PlayerId(self.serial), Box::new(playback));
        self.shard.handle_command(self.now, command);
    }

    fn tap(&mut self, which: usize) {
        let peer = &mut self.peers[which];
        let command = match peer.recording.take() {
            Some((tap, _)) => Command::Untap(peer.id, tap),
            None => {
                self.serial += 1;
                let (recorder, recording) = recorder(1_000);
                peer.recording = Some((TapId(self.serial), recording));
                Command::Tap(peer.id, TapId(self.serial), Box::new(recorder))
            }
        };
        self.shard.handle_command(self.now, command);
    }

    /// Mostly the peer of the session, sometimes somebody else.
    fn sender(&self, which: usize, channel: Channel, random: &mut Random) -> SocketAddr {
        let offset = u16::from(channel == Channel::Rtcp);
        match random.below(20) {
            0 => ([127, 0, 0, 1], 9).into(),
            1 => ([192, 0, 2, 66], 4_000).into(),
            _ => ([127, 0, 0, 1], port(self.peers[which].number) + offset).into(),
        }
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.shard.poll_transmit() {
            match classify(transmit.bytes) {
                Class::Rtp => {
                    let packet = Packet::parse(transmit.bytes).expect("our own packets are sound");
                    let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == transmit.session) else {
                        continue;
                    };
                    let header = packet.header;
                    if let Some((sequence, ssrc)) = peer.heard {
                        assert_eq!(
                            (header.sequence, header.ssrc),
                            (sequence.wrapping_add(1), ssrc),
                            "{:?}",
                            peer.id
                        );
                    }
                    peer.heard = Some((header.sequence, header.ssrc));
                }
                Class::Rtcp => assert!(Compound::parse(transmit.bytes).is_ok(), "our own reports are sound"),
                other => panic!("{other:?} was sent"),
            }
        }
        while let Some(event) = self.shard.poll_event() {
            self.events += 1;
            if let Event::Closed(id, stats) = event {
                assert_eq!(stats.continuity_violations, 0, "{id:?}");
                self.slots.release(id);
            }
        }
        // At once, so that the input that did it is known.
        let stats = self.shard.stats();
        assert_eq!(stats.continuity_violations, 0, "{stats:?}");
        for peer in &mut self.peers {
            if let Some((_, recording)) = &mut peer.recording {
                recording.read(|_, _, samples| assert!(samples.len() <= 8_000));
            }
        }
    }
}

impl Peer {
    /// Makes the packet the next of the peer's stream, as far as it has a header.
    fn continue_stream(&mut self, datagram: &mut [u8], random: &mut Random) {
        let Some(header) = datagram.first_chunk_mut::<12>() else { return };
        self.sequence = self.sequence.wrapping_add(*random.pick(&[&1, &1, &1, &1, &1, &2, &0, &500]));
        self.timestamp = self.timestamp.wrapping_add(160);
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        header[8..12].copy_from_slice(&(0xABCD_0000 | u32::from(self.number)).to_be_bytes());
    }
}

fn port(number: u16) -> u16 {
    20_000 + 2 * number
}

/// What was negotiated; the variety comes from `variant`.
fn config(number: u16, variant: usize) -> SessionConfig {
    let [pcmu, pcma] = [(Codec::Pcmu, 0), (Codec::Pcma, 8)]
        .map(|(codec, payload_type)| PayloadFormat { codec, payload_type });
    let remote = SocketAddr::from(([127, 0, 0, 1], port(number)));
    let mux = variant % 5 == 1;
    SessionConfig {
        remote: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), remote.port() + u16::from(!mux))),
        signaling_ip: Some(remote.ip()),
        rtcp_mux: mux,
        send: if (usize::from(number) + variant) % 4 == 3 { pcma } else { pcmu },
        receive: vec![pcmu, pcma],
        send_event: (variant % 3 != 1).then_some(101),
        receive_event: vec![101],
        ptime_ms: [20, 20, 10, 30, 40, 60][variant % 6],
        direction: [Direction::SendRecv, Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly]
            [variant % 4],
        latch: [Latch::SameIp, Latch::Any, Latch::Off][variant % 3],
        srtp: None,
        ..SessionConfig::default()
    }
}
