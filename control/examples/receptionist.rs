//! Answers every call, plays a WAV file, collects an extension and bridges the caller to `sip:EXTENSION@HOST`:
//! `cargo run --example receptionist -- 127.0.0.1:5060 welcome.wav 127.0.0.1:5080`
#![expect(clippy::wildcard_enum_match_arm, reason = "reacts to a few of all events")]

use std::{error::Error, path::Path};

use offhook_control::{
    Collect, Command, Config, Dial, EventKind, Play, Target,
    io::{Control, Happening, Setup},
    media::{
        PlayerId,
        io::{EngineConfig, PromptsConfig},
    },
    signaling::{Transport, Uri},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, welcome, host] = arguments.try_into().map_err(|_| "usage: receptionist LISTEN WAV HOST")?;
    let mut control = Control::start(Setup {
        config: Config::default(),
        listeners: vec![(Transport::Udp, listen.parse()?)],
        advertise: None,
        engine: EngineConfig::default(),
        prompts: PromptsConfig::default(),
    })?;
    let prompt = control.prompt(Path::new(&welcome))?;
    let me = Uri::parse(&format!("sip:receptionist@{listen}"))?;
    loop {
        let Happening::Leg(event) = control.next().await else { continue };
        let leg = event.leg;
        let done = match event.kind {
            EventKind::Incoming(_) => control.command(leg, Command::Answer),
            EventKind::Answered if leg.is_incoming() => {
                let play = Play::prompt(PlayerId(1), prompt.clone(), Some(1));
                control.command(leg, Command::Play(play.into())).and_then(|()| {
                    control.command(leg, Command::Collect(Collect { max: 4, ..Collect::default() }))
                })
            }
            EventKind::Collected(digits, _) => match Uri::parse(&format!("sip:{digits}@{host}")) {
                Ok(uri) if !digits.is_empty() => {
                    let callee = control.switchboard().next_leg();
                    let dial = Dial { near: Some(leg), ..Dial::new(Target::Uri(uri), me.clone().into()) };
                    control
                        .command(callee, Command::Dial(Box::new(dial)))
                        .and_then(|()| control.command(leg, Command::Bridge(callee)))
                }
                _ => control.command(leg, Command::HangUp(None)),
            },
            EventKind::Unbridged(_) => control.command(leg, Command::HangUp(None)),
            _ => Ok(()),
        };
        if let Err(error) = done {
            eprintln!("leg {}: {error}", leg.0); // who has just hung up; its last event follows
        }
    }
}
