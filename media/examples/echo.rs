//! Sends RTP back to whoever talks, without SIP: `echo [PORT-PORT] [REMOTE]`, for instance
//! `echo 4000-4001 192.0.2.7:5004`. Without a remote the first stream that passes probation is answered.

use std::{error::Error, net::SocketAddr, time::Duration};

use offhook_media::{
    Codec, Command, Event, Feed, Latch, PayloadFormat, SessionConfig,
    io::{Engine, EngineConfig},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let ports = arguments.next().unwrap_or_else(|| "4000-4001".into());
    let (first, last) = ports.split_once('-').ok_or("ports are written FIRST-LAST")?;
    let remote: Option<SocketAddr> = arguments.next().map(|remote| remote.parse()).transpose()?;

    let bind = [0, 0, 0, 0].into();
    let ports = first.parse()?..=last.parse()?;
    let mut engine = Engine::start(EngineConfig { bind, ports, ..EngineConfig::default() })?;
    let (id, local) = engine.open(None)?;
    let config = SessionConfig {
        // The unspecified address means: whoever comes.
        remote: Some(remote.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))),
        receive: vec![
            PayloadFormat { codec: Codec::Pcmu, payload_type: 0 },
            PayloadFormat { codec: Codec::Pcma, payload_type: 8 },
        ],
        latch: if remote.is_some() { Latch::Off } else { Latch::Any },
        ..SessionConfig::default()
    };
    engine.send(Command::Open(id, Box::new(config)))?;
    engine.send(Command::Feed(id, Feed::Session(id)))?;
    println!("echo on {local}");
    loop {
        match engine.wait_event(Duration::MAX) {
            // The other side stopped talking: say goodbye and report.
            Some(Event::MediaStopped(id)) => engine.send(Command::Close(id))?,
            Some(Event::Closed(_, stats)) => {
                println!("{stats:?}");
                return Ok(());
            }
            event => println!("{event:?}"),
        }
    }
}
