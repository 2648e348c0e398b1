//! The demonstration: a server and two phones in one process, over real UDP, and a judgement of what they heard.

mod hearing;
mod menu;
mod timeline;
mod verdict;
mod waiting;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use control::{
    App, CallRecord, EventKind,
    io::{Control, Gauges, Happening},
    media::{DigitString, Prompt, dsp::tone::ToneGenerator, dsp::tone::ToneSpec},
    signaling::{Transport, Uri, auth::credentials::Secret},
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    task::JoinHandle,
    time::sleep,
};

use self::{
    menu::{EXTENSION, EXTENSION_USER, Fact, MENU, Menu},
    timeline::Timeline,
    waiting::{ended, heard, is_recording, registered, written},
};
use crate::{
    cli::serve,
    config::{Account, Config},
    phone::{Handset, Identity, News, Order},
};

pub use self::verdict::Verdict;

/// Tones of the prompt, Hz.
const PROMPT_TONES: [f32; 3] = [600.0, 750.0, 900.0];
/// Length of each tone of the prompt, ms.
const PROMPT_TONE_MS: usize = 400;
/// Silence after each tone of the prompt, ms.
const PROMPT_PAUSE_MS: usize = 100;
/// What the caller says, Hz.
const ALICE_TONE: f32 = 1100.0;
/// What the called party says, Hz.
const BOB_TONE: f32 = 1400.0;
/// What the caller hears while it rings, Hz.
const RINGBACK_TONES: [f32; 2] = [440.0, 480.0];
/// How long each party says its tone.
const TALK: Duration = Duration::from_millis(2000);
/// How long the called phone rings.
const RINGING: Duration = Duration::from_millis(1200);
/// Longest wait for anything on one machine.
const LIMIT: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// What happened when, one line each.
    pub timeline: Vec<String>,
    /// Measured values, name and text.
    pub measured: Vec<(String, String)>,
    /// What each party heard, and whether that is right.
    pub verdicts: Vec<Verdict>,
    /// Files written.
    pub recordings: Vec<PathBuf>,
    /// Everything that is not as it should be; empty when all is well.
    pub problems: Vec<String>,
}

/// Runs the demonstration; `progress` is told each step as it begins.
///
/// # Errors
/// When it cannot even begin: no socket, no thread, no folder.
pub async fn run(out: &Path, progress: impl FnMut(&str)) -> Result<Report, String> {
    std::fs::create_dir_all(out).map_err(|error| format!("cannot create {}: {error}", out.display()))?;
    let prompt_file = out.join("prompt.wav");
    write_prompt(&prompt_file).map_err(|error| format!("cannot write {}: {error}", prompt_file.display()))?;
    let timeline = Timeline::begin(Instant::now());
    let server = Server::start(&prompt_file, timeline.clone())?;
    let alice = phone("alice", server.address, 23_000, None)?;
    let bob = phone(EXTENSION_USER, server.address, 24_000, Some(RINGING))?;
    let mut scene = Scene {
        server,
        alice,
        bob,
        timeline,
        progress,
        alice_file: out.join("alice.wav"),
        bob_file: out.join("bob.wav"),
        alice_record: None,
        bob_record: None,
        alice_begin: None,
        bob_begin: None,
        problems: Vec::new(),
    };
    if let Err(problem) = scene.play().await {
        scene.problems.push(problem);
    }
    Ok(scene.finish().await)
}

fn phone(
    user: &str,
    server: SocketAddr,
    port: u16,
    answers_after: Option<Duration>,
) -> Result<Handset, String> {
    let identity = Identity {
        user: user.to_owned(),
        password: password(user),
        server: Uri::at(None, server),
        answers_after,
    };
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Handset::start(identity, local, port..=port + 999)
        .map_err(|error| format!("the phone of {user}: {error}"))
}

/// Lives as long as the demonstration, on loopback.
fn password(user: &str) -> Secret {
    Secret::new(format!("{user}-{}", std::process::id()))
}

/// The prompt is a WAV file like any other, so that reading it is part of the demonstration.
fn write_prompt(path: &Path) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for hz in PROMPT_TONES {
        // A pause at the end lets the tone fade instead of breaking off.
        let cadence = [PROMPT_TONE_MS as u16, PROMPT_PAUSE_MS as u16, 0, 0, 0, 0, 0, 0];
        let mut samples = vec![0; (PROMPT_TONE_MS + PROMPT_PAUSE_MS) * 8];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0).with_cadence(cadence), 8000).fill(&mut samples);
        for sample in samples {
            writer.write_sample(sample)?;
        }
    }
    writer.finalize()
}

/// The server of the demonstration, driven by a task of its own.
struct Server {
    address: SocketAddr,
    facts: UnboundedReceiver<(Instant, Fact)>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Ending>,
}

/// What the server can tell when it is over.
struct Ending {
    records: Vec<CallRecord>,
    gauges: Gauges,
    left: usize,
}

impl Server {
    fn start(prompt: &Path, timeline: Timeline) -> Result<Self, String> {
        let mut config = Config::default();
        config.sip.listen = vec![(Transport::Udp, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))];
        // Nobody is trusted, so that calls are authenticated as well.
        config.sip.trusted.clear();
        config.sip.users = ["alice", EXTENSION_USER]
            .map(|name| Account { name: name.into(), password: password(name) })
            .into();
        config.media.rtp_ports = 22_000..=22_999;
        config.media.workers = Some(1);
        let mut control =
            Control::start(serve::setup(&config)).map_err(|error| format!("the server: {error}"))?;
        control.set_mirror(timeline.mirror());
        let prompt = control.prompt(prompt).map_err(|error| format!("the prompt: {error}"))?;
        let address =
            control.listeners().first().map(|listener| listener.local).ok_or("the server listens nowhere")?;
        let (told, facts) = unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(drive(control, prompt, timeline, told, stopped));
        Ok(Self { address, facts, stop, task })
    }

    /// Waits for a fact that `wanted` picks.
    async fn wait<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Fact) -> Option<T>,
    ) -> Result<(T, Instant), String> {
        let deadline = sleep(2 * LIMIT);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                fact = self.facts.recv() => match fact {
                    Some((_, Fact::Failed(why))) => return Err(format!("{what}: the server failed: {why}")),
                    Some((at, fact)) => if let Some(found) = wanted(&fact) { return Ok((found, at)) },
                    None => return Err(format!("{what}: the server is gone")),
                },
                () = &mut deadline => return Err(format!("{what}: it did not happen within {} s", 2 * LIMIT.as_secs())),
            }
        }
    }
}

async fn drive(
    mut control: Control,
    prompt: Arc<Prompt>,
    timeline: Timeline,
    told: UnboundedSender<(Instant, Fact)>,
    mut stop: oneshot::Receiver<()>,
) -> Ending {
    let mut menu = Menu::new(prompt);
    let mut records = Vec::new();
    loop {
        tokio::select! {
            happening = control.next() => {
                let Happening::Leg(event) = happening else { continue };
                let now = Instant::now();
                menu.handle_event(now, &event, control.switchboard());
                if let EventKind::Ended(record) = event.kind {
                    records.push(*record);
                }
                while let Some(fact) = menu.poll_fact() {
                    timeline.note(now, wording(&fact));
                    // Nobody waits any more when the demonstration has failed.
                    let _ = told.send((now, fact));
                }
            }
            _ = &mut stop => break,
        }
    }
    let gauges = control.gauges();
    let left = control.stop(Duration::from_secs(1)).await;
    Ending { records, gauges, left }
}

fn wording(fact: &Fact) -> String {
    match fact {
        Fact::PromptStarted => "offhook begins to play the prompt to alice".into(),
        Fact::PromptPlayed(ms) => format!("offhook has played the prompt: {ms} ms"),
        Fact::Digit(digit) => format!("offhook recognises the digit {digit}"),
        Fact::Recognised(digits) => format!("offhook has collected {digits} and calls {EXTENSION_USER}"),
        Fact::Ringback => "offhook plays ringback to alice".into(),
        Fact::Bridged => format!("offhook bridges alice and {EXTENSION_USER}"),
        Fact::Failed(why) => format!("offhook fails: {why}"),
    }
}

struct Scene<P> {
    server: Server,
    alice: Handset,
    bob: Handset,
    timeline: Timeline,
    progress: P,
    alice_file: PathBuf,
    bob_file: PathBuf,
    alice_record: Option<CallRecord>,
    bob_record: Option<CallRecord>,
    /// When each recording began.
    alice_begin: Option<Instant>,
    bob_begin: Option<Instant>,
    problems: Vec<String>,
}

impl<P: FnMut(&str)> Scene<P> {
    /// The call from beginning to end; the first thing that does not happen ends it.
    async fn play(&mut self) -> Result<(), String> {
        (self.progress)("the phones register with digest authentication");
        self.alice.order(Order::Register);
        self.bob.order(Order::Register);
        registered(&mut self.alice).await?;
        registered(&mut self.bob).await?;

        (self.progress)("alice calls the menu and hears a prompt");
        self.alice.order(Order::Record(self.alice_file.clone()));
        self.bob.order(Order::Record(self.bob_file.clone()));
        self.alice.order(Order::Call(MENU.into()));
        self.alice_begin = Some(heard(&mut self.alice, "is answered by the menu", is_recording).await?);
        heard(&mut self.alice, "is answered by the menu", |news| matches!(news, News::Answered)).await?;
        self.server.wait("the prompt", |fact| matches!(fact, Fact::PromptPlayed(_)).then_some(())).await?;

        (self.progress)("alice presses digits, the server recognises them");
        let digits = DigitString::parse(EXTENSION).map_err(|error| format!("digits: {error:?}"))?;
        self.alice.order(Order::Press(digits));
        let recognised =
            |fact: &Fact| if let Fact::Recognised(digits) = fact { Some(digits.clone()) } else { None };
        let (digits, _) = self.server.wait("the digits", recognised).await?;
        if digits != EXTENSION {
            return Err(format!("the server recognised {digits:?}, not {EXTENSION:?}"));
        }

        (self.progress)("bob's phone rings, alice hears ringback");
        self.bob_begin = Some(heard(&mut self.bob, "is called", is_recording).await?);
        self.server.wait("the bridge", |fact| matches!(fact, Fact::Bridged).then_some(())).await?;

        (self.progress)("alice and bob are bridged and speak at the same time");
        sleep(Duration::from_millis(300)).await;
        self.timeline.note(Instant::now(), format!("alice begins to say {ALICE_TONE} Hz"));
        self.alice.order(Order::Say(ToneSpec::continuous(ALICE_TONE, -10.0)));
        sleep(Duration::from_millis(150)).await;
        self.timeline.note(Instant::now(), format!("bob begins to say {BOB_TONE} Hz"));
        self.bob.order(Order::Say(ToneSpec::continuous(BOB_TONE, -10.0)));
        sleep(TALK - Duration::from_millis(150)).await;
        self.alice.order(Order::Hush);
        sleep(Duration::from_millis(150)).await;
        self.bob.order(Order::Hush);
        sleep(Duration::from_millis(250)).await;

        (self.progress)("alice hangs up");
        self.alice.order(Order::HangUp);
        self.alice_record = Some(ended(&mut self.alice).await?);
        self.bob_record = Some(ended(&mut self.bob).await?);
        (self.progress)("the recordings are judged");
        written(&mut self.alice).await?;
        written(&mut self.bob).await
    }

    async fn finish(self) -> Report {
        let Self { server, alice, bob, timeline, mut problems, .. } = self;
        let names = [(alice.address, "alice"), (bob.address, EXTENSION_USER)];
        let set_up = timeline.set_up(alice.address);
        alice.stop().await;
        bob.stop().await;
        // A server that has ended tells it below.
        let _ = server.stop.send(());
        let ending = server.task.await;
        let mut measured = Vec::new();
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        if let Some(record) = &self.alice_record
            && let Some(answered) = record.answered
        {
            let time = answered.saturating_duration_since(record.started);
            measured.push((
                "set-up time, dialled to answered".into(),
                format!("{}, with authentication", ms(time)),
            ));
        }
        if let Some(set_up) = set_up {
            measured.push(("set-up time, INVITE to 200".into(), format!("{}, in the server", ms(set_up))));
        }
        match ending {
            Ok(ending) => judge_server(&ending, &mut measured, &mut problems),
            Err(error) => problems.push(format!("the server did not end well: {error}")),
        }
        let parties = verdict::Parties {
            alice: verdict::Party {
                file: &self.alice_file,
                record: self.alice_record.as_ref(),
                begin: self.alice_begin,
            },
            bob: verdict::Party {
                file: &self.bob_file,
                record: self.bob_record.as_ref(),
                begin: self.bob_begin,
            },
        };
        let verdicts = verdict::judge(&parties, &timeline, &mut measured, &mut problems);
        let name = |address: SocketAddr| {
            names
                .iter()
                .find(|(known, _)| *known == address)
                .map_or_else(|| address.to_string(), |(_, name)| (*name).into())
        };
        let recordings = [self.alice_file, self.bob_file].into_iter().filter(|file| file.exists()).collect();
        Report { timeline: timeline.lines(name), measured, verdicts, recordings, problems }
    }
}

/// Nothing may be left of the call, and nothing may have gone wrong underneath.
fn judge_server(ending: &Ending, measured: &mut Vec<(String, String)>, problems: &mut Vec<String>) {
    let Ending { records, gauges, left } = ending;
    if *left > 0 || gauges.legs > 0 || gauges.media.sessions > 0 {
        problems.push(format!(
            "the server has {} legs and {} media sessions left",
            gauges.legs.max(*left),
            gauges.media.sessions
        ));
    }
    let violations: u64 = records.iter().map(|record| record.stats.continuity_violations).sum();
    if violations > 0 {
        problems.push(format!("the server broke the continuity of its RTP {violations} times"));
    }
    let (received, lost) = records.iter().fold((0, 0), |(received, lost), record| {
        (received + record.stats.received, lost + record.stats.lost)
    });
    measured.push(("RTP received by the server".into(), format!("{received} packets, {lost} lost")));
    if lost > 0 {
        problems.push(format!("the server lost {lost} RTP packets"));
    }
}
