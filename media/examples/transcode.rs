//! Lets two RTP parties hear each other, one with PCMU and one with G.722, without SIP:
//! `transcode PCMU_REMOTE G722_REMOTE`, for instance `transcode 192.0.2.7:5004 192.0.2.8:5004`.

use std::{error::Error, net::SocketAddr, time::Duration};

use offhook_media::{
    Codec, Command, Event, Feed, PayloadFormat, SessionConfig,
    io::{Engine, EngineConfig},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut engine = Engine::start(EngineConfig { bind: [0, 0, 0, 0].into(), ..EngineConfig::default() })?;
    let mut parties = Vec::new();
    for (codec, payload_type) in [(Codec::Pcmu, 0), (Codec::G722, 9)] {
        let remote: SocketAddr = arguments.next().ok_or("transcode PCMU_REMOTE G722_REMOTE")?.parse()?;
        // Beside each other, so that no thread waits for another.
        let (id, local) = engine.open(parties.last().copied())?;
        let format = PayloadFormat { codec, payload_type };
        let config = SessionConfig {
            remote: Some(remote),
            send: format,
            receive: vec![format],
            ..SessionConfig::default()
        };
        engine.send(Command::Open(id, Box::new(config)))?;
        println!("{codec} of {remote} comes to port {}", local.port());
        parties.push(id);
    }
    let [one, other] = parties[..] else { return Err("two parties".into()) };
    engine.send(Command::Feed(one, Feed::Session(other)))?;
    engine.send(Command::Feed(other, Feed::Session(one)))?;
    let mut open = 2;
    while open > 0 {
        match engine.wait_event(Duration::MAX) {
            // Who stops talking ends the call of both.
            Some(Event::MediaStopped(_)) => {
                for &party in &parties {
                    engine.send(Command::Close(party))?;
                }
            }
            Some(Event::Closed(id, stats)) => {
                println!("{id:?}: {stats:?}");
                open -= 1;
            }
            event => println!("{event:?}"),
        }
    }
    Ok(())
}
