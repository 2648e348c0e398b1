//! The legs and what they hear; pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use bytes::Bytes;
use media::{Feed, MixId, Quality, SessionId, time::soonest};
use signaling::{
    Cause, Endpoint, FlowId, Invite, InviteId, Question, QuestionId, Registration, RegistrationId, Source,
    StatusCode, Target, Transmit, register::bindings::Contact,
};

use crate::{
    call_record::CallRecord,
    command::{Command, LegId},
    commands::play::PlayRequest,
    config::Config,
    error::CommandError,
    event::{Event, EventKind, Notice},
    leg::{End, Leg, LegState},
};

/// What a switchboard wants from the media engine.
#[derive(Debug)]
pub enum MediaRequest {
    /// Open a session, beside `near` where given; answer with [`Switchboard::handle_opened`].
    Open {
        /// For whom.
        leg: LegId,
        /// The session it will be bridged with.
        near: Option<SessionId>,
        /// Where the peer's media certainly comes from: the session may share a port.
        remote: Option<SocketAddr>,
    },
    /// Find what is to be played, and pass on what [`PlayRequest::open`] makes of it.
    Play(Box<PlayRequest>),
    /// Pass this on.
    Command(media::Command),
}

/// Owns the SIP endpoint and the legs of one shard.
pub struct Switchboard {
    pub(crate) endpoint: Endpoint,
    pub(crate) config: Config,
    pub(crate) legs: BTreeMap<LegId, Leg>,
    pub(crate) by_invite: HashMap<InviteId, LegId>,
    pub(crate) by_session: HashMap<SessionId, LegId>,
    /// Who is in which conference.
    pub(crate) conferences: BTreeMap<MixId, BTreeSet<LegId>>,
    /// Deadlines of digit collections.
    pub(crate) deadlines: BTreeSet<(Instant, LegId)>,
    /// When playbacks begin that wait until the peer can hear them.
    pub(crate) starts: BTreeSet<(Instant, LegId)>,
    requests: VecDeque<MediaRequest>,
    events: VecDeque<Event>,
    pub(crate) notices: VecDeque<Notice>,
    next_incoming: u64,
    next_outgoing: u64,
    next_seq: u64,
    sdp_sessions: u64,
}

impl Switchboard {
    /// A switchboard without legs.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            endpoint: Endpoint::new(config.signaling.clone()),
            config,
            legs: BTreeMap::new(),
            by_invite: HashMap::new(),
            by_session: HashMap::new(),
            conferences: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            starts: BTreeSet::new(),
            requests: VecDeque::new(),
            events: VecDeque::new(),
            notices: VecDeque::new(),
            next_incoming: LegId::FIRST_INCOMING,
            next_outgoing: 1,
            next_seq: 1,
            sdp_sessions: 0,
        }
    }

    /// Asks a leg to do something.
    ///
    /// # Errors
    /// [`CommandError`] says why not; nothing has changed then.
    pub fn handle_command(&mut self, now: Instant, leg: LegId, command: Command) -> Result<(), CommandError> {
        let result = self.run(now, leg, command);
        self.drain_endpoint(now);
        result
    }

    /// Takes one SIP message in.
    pub fn handle_message(&mut self, now: Instant, source: &Source, message: &Bytes) {
        self.endpoint.handle_message(now, source, message);
        self.drain_endpoint(now);
    }

    /// Answers a [`Question`].
    pub fn handle_route(&mut self, now: Instant, question: QuestionId, targets: &[Target]) {
        self.endpoint.handle_route(now, question, targets);
        self.drain_endpoint(now);
    }

    /// A connection is gone.
    pub fn handle_flow_closed(&mut self, now: Instant, flow: FlowId) {
        self.endpoint.handle_flow_closed(now, flow);
        self.drain_endpoint(now);
    }

    /// A destination cannot be reached.
    pub fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr) {
        self.endpoint.handle_unreachable(now, destination);
        self.drain_endpoint(now);
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain_endpoint(now);
        self.expire_collections(now);
        self.expire_starts(now);
    }

    /// When `handle_timeout` wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = soonest(self.deadlines.first().map(|(at, _)| *at), self.starts.first().map(|(at, _)| *at));
        soonest(self.endpoint.poll_timeout(), own)
    }

    /// SIP messages to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.endpoint.poll_transmit()
    }

    /// Names to resolve.
    pub fn poll_question(&mut self) -> Option<Question> {
        self.endpoint.poll_question()
    }

    /// Requests to the media engine.
    pub fn poll_media(&mut self) -> Option<MediaRequest> {
        self.requests.pop_front()
    }

    /// What happened to legs.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What happened otherwise.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// A fresh id for an outgoing leg.
    pub fn next_leg(&mut self) -> LegId {
        while self.legs.contains_key(&LegId(self.next_outgoing)) {
            self.next_outgoing += 1;
        }
        self.next_outgoing += 1;
        LegId(self.next_outgoing - 1)
    }

    /// How far a leg has come; `None` when it is gone.
    #[must_use]
    pub fn state(&self, leg: LegId) -> Option<LegState> {
        self.legs.get(&leg).map(|leg| leg.state)
    }

    /// How good the last seconds of a leg were, and why nothing was heard if nothing was.
    #[must_use]
    pub fn quality(&self, leg: LegId) -> Option<Quality> {
        self.legs.get(&leg).map(|leg| leg.quality)
    }

    /// The other leg of the bridge this one is in.
    #[must_use]
    pub fn bridged(&self, leg: LegId) -> Option<LegId> {
        self.legs.get(&leg)?.bridged
    }

    /// The conference a leg is in.
    #[must_use]
    pub fn conference(&self, leg: LegId) -> Option<MixId> {
        let Feed::Mix(mix) = self.legs.get(&leg)?.heard else { return None };
        self.conferences.get(&mix)?.contains(&leg).then_some(mix)
    }

    /// Who is in a conference, in order.
    pub fn members(&self, mix: MixId) -> impl Iterator<Item = LegId> {
        self.conferences.get(&mix).into_iter().flatten().copied()
    }

    /// Legs that exist, ending ones included.
    #[must_use]
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// The ids of all legs, in order.
    #[must_use]
    pub fn leg_ids(&self) -> Vec<LegId> {
        self.legs.keys().copied().collect()
    }

    /// Where a user of ours is registered.
    #[must_use]
    pub fn contacts(&self, user: &str) -> Vec<Contact> {
        self.endpoint.contacts(user)
    }

    /// Whether that user exists, registered or not.
    #[must_use]
    pub fn knows_user(&self, user: &str) -> bool {
        self.config.signaling.users.iter().any(|known| known.name == user)
    }

    /// Registers us with another registrar; news come as [`Notice::Registration`].
    pub fn register(&mut self, now: Instant, registration: Registration) -> RegistrationId {
        let id = self.endpoint.register(now, registration);
        self.drain_endpoint(now);
        id
    }

    /// Ends a registration of ours.
    pub fn unregister(&mut self, now: Instant, registration: RegistrationId) {
        self.endpoint.unregister(now, registration);
        self.drain_endpoint(now);
    }

    /// What the SIP endpoint holds.
    #[must_use]
    pub fn gauges(&self) -> signaling::Gauges {
        self.endpoint.gauges()
    }

    /// Requests of ours that wait for their final response.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.endpoint.open_requests()
    }

    // ---- inside ---------------------------------------------------------------------------------------------

    pub(crate) fn fresh_incoming(&mut self) -> LegId {
        self.next_incoming += 1;
        LegId(self.next_incoming - 1)
    }

    pub(crate) fn fresh_sdp_session(&mut self) -> u64 {
        self.sdp_sessions += 1;
        self.sdp_sessions
    }

    pub(crate) fn is_callers_choice(&self, leg: LegId) -> bool {
        !leg.is_incoming() && !self.legs.contains_key(&leg)
    }

    /// A leg that can still be asked something.
    pub(crate) fn leg(&mut self, id: LegId) -> Result<&mut Leg, CommandError> {
        self.legs.get_mut(&id).filter(|leg| !leg.is_ending()).ok_or(CommandError::NoLeg(id))
    }

    pub(crate) fn session(&mut self, id: LegId) -> Result<SessionId, CommandError> {
        self.leg(id)?.session.ok_or(CommandError::NoMedia(id))
    }

    pub(crate) fn invite(&mut self, id: LegId) -> Result<Invite<'_>, CommandError> {
        let invite = self.leg(id)?.invite.ok_or(CommandError::WrongState(id))?;
        self.endpoint.invite(invite).ok_or(CommandError::WrongState(id))
    }

    pub(crate) fn tell(&mut self, leg: LegId, kind: EventKind) {
        self.events.push_back(Event { seq: self.next_seq, leg, kind });
        self.next_seq += 1;
    }

    pub(crate) fn request(&mut self, request: MediaRequest) {
        self.requests.push_back(request);
    }

    pub(crate) fn media(&mut self, command: media::Command) {
        self.request(MediaRequest::Command(command));
    }

    /// Sets the one thing a leg hears when nothing is played.
    pub(crate) fn hear(&mut self, id: LegId, feed: Feed) -> Result<(), CommandError> {
        let session = self.session(id)?;
        let leg = self.leg(id)?;
        // A tone that ends can be asked for again.
        let ends = matches!(&feed, Feed::Tone(script) if script.length_ms().is_some());
        if ends || leg.heard != feed {
            leg.heard = feed.clone();
            self.media(media::Command::Feed(session, feed));
        }
        Ok(())
    }

    /// The address the peer shall send RTP to.
    pub(crate) fn sdp_address(&self, peer: Option<IpAddr>, bound: SocketAddr) -> SocketAddr {
        if !bound.ip().is_unspecified() && self.config.advertise.is_none() {
            return bound;
        }
        // A peer on this machine is always reached through loopback, whatever the world is told.
        let loopback = peer.filter(|ip| ip.is_loopback() && bound.ip().is_unspecified());
        let listener = || self.config.signaling.listeners.first().map(|listener| listener.advertised.ip());
        let ip = loopback.or(self.config.advertise).or_else(listener).unwrap_or(bound.ip());
        SocketAddr::new(ip, bound.port())
    }

    /// Ends a leg: the first cause counts, the bridge falls, the media session closes. The INVITE usage must have
    /// been ended by the caller of this.
    pub(crate) fn finish(&mut self, now: Instant, id: LegId, cause: Cause, code: StatusCode, reason: &str) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| !leg.is_ending()) else { return };
        let was_opening = leg.state == LegState::Opening;
        leg.state = LegState::Ending;
        leg.end = Some(End { at: now, cause, code, reason: reason.to_owned() });
        if let Some(deadline) = leg.collecting.take().and_then(|collecting| collecting.deadline) {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(invite) = leg.invite.take() {
            self.by_invite.remove(&invite);
        }
        let session = leg.session;
        self.dissolve(id);
        match session {
            Some(session) => self.media(media::Command::Close(session)),
            // The port is on its way and closes on arrival (handle_opened).
            None if was_opening => {}
            None => self.retire(id, media::SessionStats::default()),
        }
    }

    /// Forgets an ending leg and tells its record.
    pub(crate) fn retire(&mut self, id: LegId, stats: media::SessionStats) {
        let Some(leg) = self.legs.remove(&id) else { return };
        if let Some(session) = leg.session {
            self.by_session.remove(&session);
        }
        let Some(end) = leg.end.filter(|_| leg.told) else { return };
        let record = CallRecord {
            direction: leg.direction,
            from: leg.from,
            to: leg.to,
            call_id: leg.call_id,
            started: leg.started,
            ringing: leg.ringing,
            answered: leg.answered,
            ended: end.at,
            cause: end.cause,
            code: end.code,
            reason: end.reason,
            stats,
        };
        self.tell(id, EventKind::Ended(Box::new(record)));
    }
}
