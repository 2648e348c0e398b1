//! A [`Phone`] on real sockets, driven by a task of its own.

use std::{
    io,
    net::SocketAddr,
    ops::RangeInclusive,
    path::PathBuf,
    time::{Duration, Instant},
};

use control::{
    App,
    io::{Control, Happening, Setup},
    media::io::{EngineConfig, PromptsConfig},
    signaling::{self, Transport},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::{sleep_until, timeout_at},
};

use super::{Identity, News, Order, Phone};

/// How long the last messages of a phone may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running phone. It goes on the hook and away when it is dropped.
#[derive(Debug)]
pub struct Handset {
    /// Name of its user.
    pub user: String,
    /// Where it takes SIP.
    pub address: SocketAddr,
    orders: UnboundedSender<Order>,
    news: UnboundedReceiver<(Instant, News)>,
    task: JoinHandle<()>,
}

impl Handset {
    /// Starts a phone on a free UDP port of `local`'s address.
    ///
    /// # Errors
    /// When a socket cannot be bound or a thread not be started.
    pub fn start(identity: Identity, local: SocketAddr, ports: RangeInclusive<u16>) -> io::Result<Self> {
        let engine = EngineConfig {
            workers: 1,
            bind: local.ip(),
            ports,
            pin: false,
            sessions_per_worker: 16,
            ..EngineConfig::default()
        };
        let config = control::Config {
            signaling: signaling::Config {
                product: "offhook-phone".into(),
                registrar: false,
                ..signaling::Config::default()
            },
            ..control::Config::default()
        };
        let control = Control::start(Setup {
            config,
            listeners: vec![(Transport::Udp, local)],
            advertise: None,
            engine,
            prompts: PromptsConfig::default(),
        })?;
        let address = control.listeners().first().map_or(local, |listener| listener.local);
        let (orders, taken) = unbounded_channel();
        let (told, news) = unbounded_channel();
        let user = identity.user.clone();
        let line = Line { control, phone: Phone::new(identity), record_to: None, told };
        Ok(Self { user, address, orders, news, task: tokio::spawn(line.run(taken)) })
    }

    /// Asks for something; what comes of it is told as news.
    pub fn order(&self, order: Order) {
        // A phone that has ended tells that by the end of its news.
        let _ = self.orders.send(order);
    }

    /// Waits for the news that `wanted` picks, and passes over others; `None` when it does not come within `limit`.
    pub async fn wait<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(Instant, News) -> Option<T>,
    ) -> Option<T> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let (at, news) = timeout_at(deadline, self.news.recv()).await.ok().flatten()?;
            if let Some(found) = wanted(at, news) {
                return Some(found);
            }
        }
    }

    /// Hangs up and ends the phone.
    pub async fn stop(self) {
        drop(self.orders);
        // A task that panicked has nothing to tell.
        let _ = self.task.await;
    }
}

struct Line {
    control: Control,
    phone: Phone,
    /// Where the next call is recorded to.
    record_to: Option<PathBuf>,
    told: UnboundedSender<(Instant, News)>,
}

impl Line {
    async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        loop {
            let due = self.phone.poll_timeout();
            tokio::select! {
                happening = self.control.next() => self.handle(happening),
                order = orders.recv() => match order {
                    Some(Order::Record(path)) => self.record_to = Some(path),
                    Some(order) => self.phone.handle_order(Instant::now(), order, self.control.switchboard()),
                    None => break,
                },
                () = until(due) => self.phone.handle_timeout(Instant::now(), self.control.switchboard()),
            }
            self.record();
            self.tell();
        }
        self.control.stop(FAREWELL).await;
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Leg(event) => {
                self.phone.handle_event(Instant::now(), &event, self.control.switchboard());
            }
            Happening::Notice(notice) => self.phone.handle_notice(&notice),
            // It plays what it has.
            Happening::Prompt(_) => {}
            Happening::Written(written) => {
                let news = match written {
                    (_, Ok(file)) => News::Recorded(file.path),
                    (_, Err(error)) => News::Refused(format!("recording: {error}")),
                };
                let _ = self.told.send((Instant::now(), news));
            }
        }
    }

    /// Begins the recording as soon as there is a call with media.
    fn record(&mut self) {
        let Some(leg) = self.phone.leg() else { return };
        let Some(path) = self.record_to.take() else { return };
        // The media port of a call just dialled is opened by the first attempt.
        let begun = self.control.record(leg, &path).or_else(|_| self.control.record(leg, &path));
        let news = match begun {
            Ok(_) => News::Records,
            Err(error) => News::Refused(format!("recording: {error}")),
        };
        let _ = self.told.send((Instant::now(), news));
    }

    fn tell(&mut self) {
        while let Some(news) = self.phone.poll_news() {
            // Nobody may be listening any more.
            let _ = self.told.send((Instant::now(), news));
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
