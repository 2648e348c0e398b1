//! The stage on real sockets of this machine.

use control::{
    Command, CommandError, Event, LegId,
    io::{Control, Happening, Setup},
    media::{
        TapId,
        graph::recorder::{Recording, assemble, recorder},
        io::{EngineConfig, PromptsConfig},
    },
    signaling::{Transport, Uri},
};
use std::{collections::BTreeMap, net::SocketAddr, pin::Pin, task::Poll, time::Duration};
use tokio::runtime::Runtime;

use super::{PATIENCE, Stage, Who, config};

/// Longest call a tap of these tests can hold, ms.
const LONGEST_MS: u32 = 60_000;

pub struct Live {
    runtime: Runtime,
    systems: Vec<Control>,
    events: Vec<Vec<(Event, bool)>>,
    recordings: BTreeMap<(Who, LegId), Recording>,
    transport: Transport,
}

impl Live {
    pub fn new(systems: usize, transport: Transport) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let start = |n: usize| {
            let _context = runtime.enter();
            let first = 30_000 + 200 * n as u16;
            let listener = SocketAddr::from(([127, 0, 0, 1], 0));
            Control::start(Setup {
                config: config(),
                listeners: vec![(Transport::Udp, listener), (Transport::Tcp, listener)],
                advertise: None,
                engine: EngineConfig {
                    workers: 2,
                    ports: first..=first + 199,
                    sessions_per_worker: 16,
                    pin: false,
                    ..EngineConfig::default()
                },
                prompts: PromptsConfig::default(),
            })
            .unwrap()
        };
        let systems: Vec<Control> = (0..systems).map(start).collect();
        let events = systems.iter().map(|_| Vec::new()).collect();
        Self { runtime, systems, events, recordings: BTreeMap::new(), transport }
    }
}

/// The next happening of any of them, and whose it is.
async fn next_of(systems: &mut [Control]) -> (Who, Happening) {
    let mut futures: Vec<Pin<Box<dyn Future<Output = Happening> + '_>>> = Vec::new();
    for system in systems {
        futures.push(Box::pin(system.next()));
    }
    std::future::poll_fn(|context| {
        for (who, future) in futures.iter_mut().enumerate() {
            if let Poll::Ready(happening) = future.as_mut().poll(context) {
                return Poll::Ready((who, happening));
            }
        }
        Poll::Pending
    })
    .await
}

impl Stage for Live {
    fn command(&mut self, who: Who, leg: LegId, command: Command) -> Result<(), CommandError> {
        let _context = self.runtime.enter();
        self.systems[who].command(leg, command)
    }

    fn wait(&mut self, who: Who, what: &str, wanted: &mut dyn FnMut(&Event) -> bool) -> Event {
        loop {
            if let Some((event, taken)) =
                self.events[who].iter_mut().find(|(event, taken)| !taken && wanted(event))
            {
                *taken = true;
                return event.clone();
            }
            let systems = &mut self.systems;
            let next =
                self.runtime.block_on(async { tokio::time::timeout(PATIENCE, next_of(systems)).await });
            match next {
                Ok((from, Happening::Leg(event))) => self.events[from].push((event, false)),
                Ok(_) => {}
                Err(_) => panic!("system {who} never told {what}; it told {:#?}", self.events[who]),
            }
        }
    }

    fn listen(&mut self, who: Who, leg: LegId) {
        let (end, recording) = recorder(LONGEST_MS);
        self.command(who, leg, Command::Record(TapId(1), Box::new(end))).unwrap();
        self.recordings.insert((who, leg), recording);
    }

    fn arrived(&mut self, who: Who, leg: LegId) -> Vec<i16> {
        let recording = self.recordings.get_mut(&(who, leg)).expect("listened to");
        assemble(recording).into_iter().map(|[said, _]| said).collect()
    }

    fn uri(&self, who: Who, user: &str) -> Uri {
        let listeners = self.systems[who].listeners();
        let listener = listeners.iter().find(|listener| listener.transport == self.transport).unwrap();
        let parameter = if self.transport == Transport::Tcp { ";transport=tcp" } else { "" };
        Uri::parse(&format!("sip:{user}@{}{parameter}", listener.advertised)).unwrap()
    }

    fn finish(self) {
        let Self { runtime, systems, .. } = self;
        for system in systems {
            let gauges = system.gauges();
            assert_eq!(
                (gauges.legs, gauges.media.sessions, gauges.media.ports_in_use),
                (0, 0, 0),
                "{gauges:?}"
            );
            assert_eq!(gauges.media.continuity_violations, 0);
            assert_eq!(runtime.block_on(system.stop(Duration::from_secs(5))), 0);
        }
    }
}
