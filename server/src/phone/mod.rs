//! The built-in test phone: registers, calls, answers, says a tone, presses keys, hangs up.
//!
//! [`Phone`] is pure and speaks through any switchboard, on real sockets ([`Handset`]) as in the simulator.

mod handset;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use control::{
    App, CallRecord, Command, CommandError, Dial, Event, EventKind, LegId, Notice, Play, Switchboard, Target,
    media::{DigitString, PlayerId, Prompt, dsp::tone::ToneSpec},
    signaling::{
        NameAddr, Registration, RegistrationId, RegistrationState, StatusCode, Uri, auth::credentials::Secret,
    },
};

pub use self::handset::Handset;

/// Who a phone is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// User part of its address.
    pub user: String,
    /// Never shown.
    pub password: Secret,
    /// Where it registers and sends its calls, for example `sip:127.0.0.1:5060`.
    pub server: Uri,
    /// How long it rings before it answers by itself; `None` leaves that to [`Order::Answer`].
    pub answers_after: Option<Duration>,
}

/// What a phone can be asked.
#[derive(Debug)]
pub enum Order {
    /// Registers, with digest authentication.
    Register,
    /// Ends the registration.
    Unregister,
    /// Calls that user of the server.
    Call(String),
    /// Answers the ringing call.
    Answer,
    /// Refuses the ringing call.
    Reject(StatusCode),
    /// Says a tone.
    Say(ToneSpec),
    /// Says nothing more.
    Hush,
    /// Says a recording once.
    Play(Arc<Prompt>),
    /// Presses keys.
    Press(DigitString),
    /// Writes what is heard (left) and said (right) to a stereo WAV file, from the next call on.
    Record(PathBuf),
    /// Puts the other party on hold.
    Hold,
    /// Takes the other party off hold.
    Resume,
    /// Hangs up.
    HangUp,
}

/// What a phone tells.
#[derive(Debug)]
pub enum News {
    /// Registered for so many seconds.
    Registered(u32),
    /// The registration was refused.
    RegistrationFailed(StatusCode),
    /// The registration is over.
    Unregistered,
    /// Somebody calls.
    Rings(String),
    /// The called party makes progress, with or without media.
    Progress(StatusCode, bool),
    /// Both are connected.
    Answered,
    /// RTP comes in.
    Hears,
    /// The other party pressed a key.
    Digit(char),
    /// All keys are pressed.
    Pressed,
    /// A recording was said to its end.
    Played,
    /// The other party put us on hold or took us off.
    Held(bool),
    /// Our hold or resume took effect.
    Holds(bool),
    /// The recording has begun.
    Records,
    /// The call is over.
    Ended(Box<CallRecord>),
    /// The recording is in place.
    Recorded(PathBuf),
    /// Something asked for was not possible.
    Refused(String),
}

/// A recording has one player, so one number serves all.
const PLAYER: PlayerId = PlayerId(1);

/// The phone itself: one line, one call at a time.
#[derive(Debug)]
pub struct Phone {
    identity: Identity,
    registration: Option<RegistrationId>,
    call: Option<LegId>,
    answer_at: Option<Instant>,
    news: VecDeque<News>,
}

impl Phone {
    /// A phone on the hook.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self { identity, registration: None, call: None, answer_at: None, news: VecDeque::new() }
    }

    /// The leg of the present call.
    #[must_use]
    pub fn leg(&self) -> Option<LegId> {
        self.call
    }

    /// Does what is asked, or tells [`News::Refused`].
    pub fn handle_order(&mut self, now: Instant, order: Order, switchboard: &mut Switchboard) {
        let done = match order {
            Order::Register => {
                self.registration = Some(switchboard.register(now, self.registration()));
                Ok(())
            }
            Order::Unregister => {
                if let Some(registration) = self.registration {
                    switchboard.unregister(now, registration);
                }
                Ok(())
            }
            Order::Call(user) => self.dial(now, &user, switchboard),
            Order::Answer => {
                self.answer_at = None;
                self.ask(now, Command::Answer, switchboard)
            }
            Order::Reject(code) => self.ask(now, Command::Reject(code), switchboard),
            Order::Say(tone) => self.ask(now, Command::tone(tone), switchboard),
            Order::Hush => self.ask(now, Command::Silence, switchboard),
            Order::Play(prompt) => {
                self.ask(now, Command::Play(Play::prompt(PLAYER, prompt, Some(1)).into()), switchboard)
            }
            Order::Press(digits) => self.ask(now, Command::SendDigits(digits), switchboard),
            Order::Record(path) => Err(format!("{}: only a handset can write files", path.display())),
            Order::Hold => self.ask(now, Command::Hold, switchboard),
            Order::Resume => self.ask(now, Command::Resume, switchboard),
            Order::HangUp => self.ask(now, Command::HangUp(None), switchboard),
        };
        if let Err(why) = done {
            self.news.push_back(News::Refused(why));
        }
    }

    /// Takes news of the registration in.
    pub fn handle_notice(&mut self, notice: &Notice) {
        let Notice::Registration(id, state) = notice else { return };
        if Some(*id) != self.registration {
            return;
        }
        self.news.push_back(match state {
            RegistrationState::Registered(seconds) => News::Registered(*seconds),
            RegistrationState::Failed(code) => News::RegistrationFailed(*code),
            RegistrationState::Unregistered => News::Unregistered,
        });
    }

    /// What happened, oldest first.
    pub fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn registration(&self) -> Registration {
        let Identity { user, password, server, .. } = &self.identity;
        Registration { expires: 300, ..Registration::new(server.clone(), user, password.expose()) }
    }

    fn dial(&mut self, now: Instant, user: &str, switchboard: &mut Switchboard) -> Result<(), String> {
        if self.call.is_some() {
            return Err("another call is up".into());
        }
        let Identity { user: own, password, server, .. } = &self.identity;
        let target = Uri { user: Some(user.to_owned()), ..server.clone() };
        let from = NameAddr::new(Uri { user: Some(own.clone()), port: None, ..server.clone() });
        let leg = switchboard.next_leg();
        let dial = Dial {
            target: Target::Uri(target),
            from,
            near: None,
            credentials: Some((own.clone(), password.expose().to_owned())),
            headers: Vec::new(),
            ring_timeout: None,
            srtp: None,
        };
        switchboard
            .handle_command(now, leg, Command::Dial(Box::new(dial)))
            .map_err(|error| error.to_string())?;
        self.call = Some(leg);
        Ok(())
    }

    fn ask(&mut self, now: Instant, command: Command, switchboard: &mut Switchboard) -> Result<(), String> {
        let Some(leg) = self.call else { return Err("there is no call".into()) };
        switchboard.handle_command(now, leg, command).map_err(|error: CommandError| error.to_string())
    }

    fn ring(&mut self, now: Instant, leg: LegId, from: String, switchboard: &mut Switchboard) {
        if self.call.is_some() {
            // The caller may have given up already.
            let _ = switchboard.handle_command(now, leg, Command::Reject(StatusCode::BUSY_HERE));
            return;
        }
        self.call = Some(leg);
        self.answer_at = self.identity.answers_after.map(|after| now + after);
        self.news.push_back(News::Rings(from));
        if let Err(why) = self.ask(now, Command::Ring, switchboard) {
            self.news.push_back(News::Refused(why));
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a phone reacts to a few of all events")]
impl App for Phone {
    fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard) {
        if let EventKind::Incoming(incoming) = &event.kind {
            self.ring(now, event.leg, incoming.from.uri.to_string(), switchboard);
            return;
        }
        if Some(event.leg) != self.call {
            return;
        }
        let news = match &event.kind {
            EventKind::Progress(code, media) => News::Progress(*code, *media),
            EventKind::Answered => News::Answered,
            EventKind::MediaStarted => News::Hears,
            EventKind::Digit(key, _) => News::Digit(*key),
            EventKind::DigitsSent => News::Pressed,
            EventKind::PlayFinished(..) => News::Played,
            EventKind::Held => News::Held(true),
            EventKind::Resumed => News::Held(false),
            EventKind::HoldChanged(holds) => News::Holds(*holds),
            EventKind::HoldFailed(code) => News::Refused(format!("hold: {code} {}", code.phrase())),
            EventKind::Ended(record) => {
                self.call = None;
                self.answer_at = None;
                News::Ended(record.clone())
            }
            _ => return,
        };
        self.news.push_back(news);
    }

    fn handle_timeout(&mut self, now: Instant, switchboard: &mut Switchboard) {
        if self.answer_at.is_some_and(|at| at <= now) {
            self.handle_order(now, Order::Answer, switchboard);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.answer_at
    }
}
