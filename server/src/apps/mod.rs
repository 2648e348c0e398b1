//! What answers calls: one small state machine per call, found by the dialling plan.

mod conference;
mod dial;
mod echo;
mod play;
mod reject;
mod tone;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use control::{
    App, Command, Event, EventKind, LegId, Switchboard,
    media::dsp::tone_plan::Country,
    signaling::{Incoming, StatusCode},
};

use self::{
    conference::{Conferences, Member},
    dial::Dial,
    echo::Echo,
    play::Play,
    tone::Tone,
};
use crate::routing::{Router, Task};

/// Gives every caller what the dialling plan says; pure, so that it answers in the simulator as on real sockets.
#[derive(Debug)]
pub struct Attendant {
    router: Router,
    /// Whose ringback a caller hears where we must make it.
    country: Country,
    draining: bool,
    full: bool,
    /// Calls by their incoming leg.
    calls: BTreeMap<LegId, Call>,
    conferences: Conferences,
    /// Which call a leg belongs to.
    owners: BTreeMap<LegId, LegId>,
    /// Deadlines of calls.
    deadlines: BTreeSet<(Instant, LegId)>,
}

#[derive(Debug)]
struct Call {
    task: Running,
    /// Legs that have not ended.
    legs: usize,
}

#[derive(Debug)]
enum Running {
    Echo(Echo),
    Play(Play),
    Dial(Box<Dial>),
    Conference(Member),
    Tone(Tone),
}

impl Attendant {
    /// An attendant without calls.
    #[must_use]
    pub fn new(router: Router, country: Country) -> Self {
        Self {
            router,
            country,
            draining: false,
            full: false,
            calls: BTreeMap::new(),
            conferences: Conferences::default(),
            owners: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// From now on new callers are refused with 503; running calls go on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether new callers are refused with 503 for the moment, because as many are served as can be.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Calls that are up.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    fn begin(&mut self, now: Instant, caller: LegId, incoming: &Incoming, switchboard: &mut Switchboard) {
        if self.draining || self.full {
            reject::reject(now, caller, StatusCode::SERVICE_UNAVAILABLE, switchboard);
            return;
        }
        let dialled = incoming.request_uri.user_unescaped().unwrap_or_default();
        let task = match self.router.task(&dialled, |user| switchboard.knows_user(user)) {
            Task::Echo => Some(Running::Echo(Echo::begin(now, caller, switchboard))),
            Task::Play { sources, times } => {
                Some(Running::Play(Play::begin(now, caller, sources, times, switchboard)))
            }
            Task::Dial(call) => Some(Running::Dial(Box::new(Dial::begin(
                now,
                caller,
                incoming,
                *call,
                self.country,
                switchboard,
            )))),
            Task::Conference { name, limit } => {
                self.conferences.begin(now, caller, name, limit, switchboard).map(Running::Conference)
            }
            Task::Tone { script, answer } => {
                Some(Running::Tone(Tone::begin(now, caller, script, answer, switchboard)))
            }
            Task::Reject(code) => {
                reject::reject(now, caller, code, switchboard);
                None
            }
        };
        let Some(task) = task else { return };
        self.owners.insert(caller, caller);
        let mut legs = 1;
        if let Running::Dial(dial) = &task {
            for leg in dial.callees() {
                self.owners.insert(leg, caller);
                legs += 1;
            }
        }
        if let Running::Play(play) = &task {
            self.deadlines.extend(play.poll_timeout().map(|at| (at, caller)));
        }
        self.calls.insert(caller, Call { task, legs });
    }
}

impl App for Attendant {
    fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard) {
        if let EventKind::Incoming(incoming) = &event.kind {
            self.begin(now, event.leg, incoming, switchboard);
            return;
        }
        // Legs without a task were refused; nobody waits for what they tell.
        let Some(owner) = self.owners.get(&event.leg).copied() else { return };
        let Some(call) = self.calls.get_mut(&owner) else { return };
        match &mut call.task {
            Running::Echo(_) | Running::Conference(_) => {}
            Running::Play(play) => {
                play.handle_event(now, event);
                self.deadlines.extend(play.poll_timeout().map(|at| (at, owner)));
            }
            Running::Tone(tone) => {
                tone.handle_event(now, event);
                self.deadlines.extend(tone.poll_timeout().map(|at| (at, owner)));
            }
            Running::Dial(dial) => dial.handle_event(now, event, switchboard),
        }
        if matches!(event.kind, EventKind::Ended(_)) {
            self.owners.remove(&event.leg);
            call.legs -= 1;
            if call.legs == 0
                && let Some(Call { task: Running::Conference(member), .. }) = self.calls.remove(&owner)
            {
                self.conferences.end(&member);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant, switchboard: &mut Switchboard) {
        while let Some((_, owner)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_first();
            match self.calls.get_mut(&owner).map(|call| &mut call.task) {
                Some(Running::Play(play)) => play.handle_timeout(now, switchboard),
                Some(Running::Tone(tone)) => tone.handle_timeout(now, switchboard),
                // The call ended before its deadline, or has none.
                Some(Running::Echo(_) | Running::Dial(_) | Running::Conference(_)) | None => {}
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}

/// Asks a leg for something that it may be too late for: the peer can always have hung up a moment ago, and the leg
/// tells that with its last event. Whether it was done.
fn ask(now: Instant, leg: LegId, command: Command, switchboard: &mut Switchboard) -> bool {
    switchboard.handle_command(now, leg, command).is_ok()
}
