//! The engine without threads, sockets and clocks: a shard is given bytes and time, and says what it would send. Here a
//! tone is played to a party for a second of virtual time, while what that party says comes back to it as an echo would.

use std::{
    error::Error,
    net::SocketAddr,
    time::{Duration, Instant},
};

use offhook_media::{
    Channel, Codec, Command, Feed, PayloadFormat, Playback, PlayerId, Prompt, SessionConfig, SessionId,
    Shard, ShardConfig, time::BEAT,
};

fn main() -> Result<(), Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    let start = Instant::now();
    let mut shard = Shard::new(ShardConfig { worker: 0, seed: 7, sessions: 1 }, start);
    let (id, party) = (SessionId::new(0, 0, 0), SocketAddr::from(([192, 0, 2, 1], 4_000)));
    let pcmu = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };
    let config = SessionConfig { remote: Some(party), receive: vec![pcmu], ..SessionConfig::default() };
    shard.handle_command(start, Command::Open(id, Box::new(config)));
    shard.handle_command(start, Command::Feed(id, Feed::Session(id)));
    let tone: Vec<i16> = (0..4_000).map(|n| ((f64::from(n) * 0.345).sin() * 8_000.0) as i16).collect();
    let prompt = Prompt::from_samples(&tone, 8_000).into();
    shard.handle_command(start, Command::Play(id, PlayerId(1), Box::new(Playback::prompt(prompt, Some(1)))));

    let (mut now, mut number) = (start, 0_u16);
    while now < start + Duration::from_secs(1) {
        now += BEAT;
        // Every fourth beat the party says 20 ms.
        if now.duration_since(start).as_millis().is_multiple_of(20) {
            let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            packet[2..4].copy_from_slice(&number.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(number) * 160).to_be_bytes());
            packet.extend([0x9F; 160]);
            number += 1;
            shard.handle_datagram(now, id, Channel::Rtp, party, &mut packet);
        }
        shard.handle_beat(now);
        while let Some(transmit) = shard.poll_transmit() {
            let at = now.duration_since(start).as_millis();
            println!("{at:4} ms: {} bytes to {}", transmit.bytes.len(), transmit.destination);
        }
        while let Some(event) = shard.poll_event() {
            println!("{event:?}");
        }
    }
    println!("{:?}", shard.session(id).ok_or("the session is open")?.stats());
    Ok(())
}
