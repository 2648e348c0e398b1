//! Plays a WAV file to an RTP receiver, without SIP: `play_wav FILE REMOTE`, for instance
//! `play_wav hello.wav 127.0.0.1:5004`. PCMU, 20 ms.

use std::{error::Error, net::SocketAddr, path::Path, time::Duration};

use offhook_media::{
    Codec, Command, Event, PayloadFormat, Playback, PlayerId, SessionConfig,
    io::{Engine, EngineConfig, Prompts},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("play_wav FILE REMOTE")?;
    let remote: SocketAddr = arguments.next().ok_or("play_wav FILE REMOTE")?.parse()?;

    let prompt = Prompts::default().load(Path::new(&file))?;
    println!("{file}: {} ms", prompt.duration_ms());

    let bind = if remote.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let mut engine = Engine::start(EngineConfig { bind, ..EngineConfig::default() })?;
    let (id, local) = engine.open(None)?;
    let pcmu = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };
    let config = SessionConfig { remote: Some(remote), receive: vec![pcmu], ..SessionConfig::default() };
    engine.send(Command::Open(id, Box::new(config)))?;
    engine.send(Command::Play(id, PlayerId(1), Box::new(Playback::prompt(prompt, Some(1)))))?;
    println!("from port {} to {remote}", local.port());
    loop {
        match engine.wait_event(Duration::MAX) {
            Some(Event::PlayFinished { .. }) => engine.send(Command::Close(id))?,
            Some(Event::Closed(_, stats)) => {
                println!("{} packets sent", stats.sent);
                return Ok(());
            }
            event => println!("{event:?}"),
        }
    }
}
