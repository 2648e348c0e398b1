//! Records what an RTP sender says, without SIP: `record FILE REMOTE`, for instance `record call.flac 192.0.2.7:5004`.
//! The name says the format: WAV, FLAC or Opus in Ogg. PCMU or G.722; ends when the sender stops.

use std::{error::Error, net::SocketAddr, time::Duration};

use offhook_media::{
    Codec, Command, Event, PayloadFormat, SessionConfig, TapId,
    graph::recorder::recorder,
    io::{Engine, EngineConfig, Layout, RecordingSettings, RecordingWriter},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("record FILE REMOTE")?;
    let remote: SocketAddr = arguments.next().ok_or("record FILE REMOTE")?.parse()?;

    let mut engine = Engine::start(EngineConfig { bind: [0, 0, 0, 0].into(), ..EngineConfig::default() })?;
    let writer = RecordingWriter::start()?;
    let (id, local) = engine.open(None)?;
    let config = SessionConfig {
        remote: Some(remote),
        receive: vec![
            PayloadFormat { codec: Codec::Pcmu, payload_type: 0 },
            PayloadFormat { codec: Codec::G722, payload_type: 9 },
        ],
        ..SessionConfig::default()
    };
    engine.send(Command::Open(id, Box::new(config)))?;
    // The worker fills one end, the writer's thread empties the other; a slow disk holds up nobody.
    let (recorder, recording) = recorder(4_000);
    writer.write(
        TapId(1),
        recording,
        RecordingSettings { layout: Layout::Said, ..RecordingSettings::new(file) },
    );
    engine.send(Command::Tap(id, TapId(1), Box::new(recorder)))?;
    println!("listening on port {}", local.port());
    loop {
        match engine.wait_event(Duration::MAX) {
            Some(Event::MediaStopped(id)) => engine.send(Command::Close(id))?,
            Some(Event::Closed(..)) => break,
            event => println!("{event:?}"),
        }
    }
    for outcome in writer.stop() {
        println!("{outcome:?}");
    }
    Ok(())
}
