//! A room for RTP parties, without SIP: `conference REMOTE...`, for instance
//! `conference 192.0.2.7:5004 192.0.2.8:5004 192.0.2.9:5004`. PCMU; everybody hears everybody else.

use std::{error::Error, net::SocketAddr, time::Duration};

use offhook_media::{
    Codec, Command, Event, Feed, MixId, PayloadFormat, SessionConfig,
    io::{Engine, EngineConfig},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut engine = Engine::start(EngineConfig { bind: [0, 0, 0, 0].into(), ..EngineConfig::default() })?;
    let mut members = 0;
    for remote in std::env::args().skip(1) {
        let remote: SocketAddr = remote.parse()?;
        let (id, local) = engine.open(None)?;
        let pcmu = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };
        let config = SessionConfig { remote: Some(remote), receive: vec![pcmu], ..SessionConfig::default() };
        engine.send(Command::Open(id, Box::new(config)))?;
        engine.send(Command::Feed(id, Feed::Mix(MixId(1))))?;
        println!("{id:?}: {remote}, to port {}", local.port());
        members += 1;
    }
    while members > 0 {
        match engine.wait_event(Duration::MAX) {
            Some(Event::TalkStarted(id)) => println!("{id:?} talks"),
            Some(Event::TalkStopped(id)) => println!("{id:?} is silent"),
            Some(Event::MediaStopped(id)) => engine.send(Command::Close(id))?,
            Some(Event::Closed(id, _)) => {
                println!("{id:?} left");
                members -= 1;
            }
            _ => {}
        }
    }
    Ok(())
}
