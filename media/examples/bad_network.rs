//! Says a WAV file over a bad network and writes what is heard of it: `bad_network IN OUT LOSS_PERCENT JITTER_MS SEED`.
//!
//! A shard is driven by hand in virtual time, so that the same seed gives the same file.

use std::{
    collections::BTreeMap,
    error::Error,
    net::SocketAddr,
    time::{Duration, Instant},
};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use offhook_media::{
    Channel, Codec, Command, PayloadFormat, SessionConfig, SessionId, Shard, ShardConfig, TapId, Track,
    graph::recorder::recorder, time::BEAT,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, loss, jitter, seed] = arguments.as_slice() else {
        return Err("usage: bad_network IN OUT LOSS_PERCENT JITTER_MS SEED".into());
    };
    let mut reader = WavReader::open(input)?;
    if (reader.spec().sample_rate, reader.spec().channels, reader.spec().bits_per_sample) != (8_000, 1, 16) {
        return Err("the input must be 8 kHz, mono, 16 bits".into());
    }
    let audio: Vec<i16> = reader.samples().collect::<Result<_, _>>()?;
    let heard = hear(&audio, loss.parse()?, jitter.parse()?, seed.parse()?);
    let spec =
        WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(output, spec)?;
    for sample in heard {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    Ok(())
}

fn hear(audio: &[i16], loss_percent: u64, jitter_ms: u64, seed: u64) -> Vec<i16> {
    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    let base = Instant::now();
    let speaker = SessionId::new(0, 0, 0);
    let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let mut shard = Shard::new(ShardConfig { worker: 0, seed, sessions: 1 }, base);
    let format = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };
    let config = SessionConfig { remote: Some(from), receive: vec![format], ..SessionConfig::default() };
    shard.handle_command(base, Command::Open(speaker, Box::new(config)));
    let (recorder, mut recording) = recorder(1_000);
    shard.handle_command(base, Command::Tap(speaker, TapId(1), Box::new(recorder)));

    let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |end: u64| {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        (dice.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % end
    };
    let mut arriving = BTreeMap::new();
    for (index, frame) in audio.chunks(160).enumerate() {
        let lost = below(100) < loss_percent;
        let late = Duration::from_micros(20_000 + below(jitter_ms * 1_000 + 1));
        if !lost {
            let mut packet = vec![0x80, 0];
            packet.extend((index as u16).to_be_bytes());
            packet.extend((index as u32 * 160).to_be_bytes());
            packet.extend([0, 0, 0, 1]);
            packet.resize(12 + frame.len(), 0);
            Codec::Pcmu.encode(frame, &mut packet[12..]);
            arriving.insert((base + Duration::from_millis(20 * index as u64) + late, index), packet);
        }
    }

    let mut heard = Vec::new();
    let mut now = base;
    let end = base + Duration::from_millis(audio.len() as u64 / 8 + 300);
    while now < end {
        now += BEAT;
        while let Some(entry) = arriving.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), mut packet) = entry.remove_entry();
            shard.handle_datagram(at, speaker, Channel::Rtp, from, &mut packet);
        }
        shard.handle_beat(now);
        while shard.poll_transmit().is_some() {}
        while shard.poll_event().is_some() {}
        recording.read(|track, at, audio| {
            if track == Track::Said {
                heard.resize(at as usize, 0);
                heard.extend_from_slice(audio);
            }
        });
    }
    if let Some(session) = shard.session(speaker) {
        eprintln!("{:?}", session.stats());
    }
    heard
}
