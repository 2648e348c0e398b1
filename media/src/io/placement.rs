//! On which worker each session is, and which must move so that those who hear each other are together.
//!
//! A session keeps its id for life; this table knows where it sits. Commands that concern a session on its way wait
//! here, in order, until it has left its old worker: by then the new one finds it before it finds the command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    command::{Command, Feed, MixId, SessionId},
    shard::Slots,
};

/// Sessions that move together.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Where they are.
    pub(crate) from: u8,
    /// Where they go.
    pub(crate) to: u8,
    /// Who, and which slot each gets.
    pub(crate) passengers: Vec<(SessionId, u32)>,
}

/// Where every session is.
#[derive(Debug)]
pub(crate) struct Placement {
    slots: Slots,
    sessions: BTreeMap<SessionId, Place>,
    mixes: BTreeMap<MixId, BTreeSet<SessionId>>,
    held: VecDeque<Command>,
    /// Sessions that moved since the beginning.
    pub(crate) moved: u64,
    /// Times that sessions which should hear each other could not come together.
    pub(crate) apart: u64,
}

#[derive(Debug)]
struct Place {
    /// Named like the session that would be opened there.
    seat: SessionId,
    /// Its next seat, while it is on its way.
    bound_for: Option<SessionId>,
    /// Of its own.
    port: Option<u16>,
    hears: Hears,
    closing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hears {
    Nobody,
    Session(SessionId),
    Mix(MixId),
}

impl From<&Feed> for Hears {
    fn from(feed: &Feed) -> Self {
        match *feed {
            Feed::Session(source) => Self::Session(source),
            Feed::Mix(mix) => Self::Mix(mix),
            Feed::Silence | Feed::Tone(_) => Self::Nobody,
        }
    }
}

impl Placement {
    pub(crate) fn new(slots: Slots) -> Self {
        Self {
            slots,
            sessions: BTreeMap::new(),
            mixes: BTreeMap::new(),
            held: VecDeque::new(),
            moved: 0,
            apart: 0,
        }
    }

    /// A free id, beside `near` where that is given, otherwise where the fewest are. Name its port next.
    pub(crate) fn allocate(&mut self, near: Option<SessionId>) -> Option<SessionId> {
        let near = near
            .map(|near| self.sessions.get(&near).map_or(near, |place| place.bound_for.unwrap_or(place.seat)));
        self.slots.allocate(self.slots.least_used(), near)
    }

    pub(crate) fn give_back(&mut self, id: SessionId) {
        self.slots.release(id);
    }

    pub(crate) fn settle(&mut self, id: SessionId, port: Option<u16>) {
        let place = Place { seat: id, bound_for: None, port, hears: Hears::Nobody, closing: false };
        self.sessions.insert(id, place);
    }

    /// The session is gone. Returns whether it was there, and the port it had for itself.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Option<u16>> {
        let place = self.sessions.remove(&id)?;
        self.leave(id, place.hears);
        self.slots.release(place.seat);
        if let Some(seat) = place.bound_for {
            self.slots.release(seat);
        }
        Some(place.port)
    }

    /// Where a session is, or was opened if it is gone.
    pub(crate) fn worker(&self, id: SessionId) -> u8 {
        self.sessions.get(&id).map_or(id, |place| place.seat).worker()
    }

    /// Where a session is going.
    pub(crate) fn bound_for(&self, id: SessionId) -> Option<u8> {
        Some(self.sessions.get(&id)?.bound_for?.worker())
    }

    /// Where the next session is opened that has no wish.
    pub(crate) fn least_used(&self) -> u8 {
        self.slots.least_used()
    }

    /// Sessions on a worker.
    pub(crate) fn in_use(&self, worker: u8) -> usize {
        self.slots.in_use(worker)
    }

    // ---- commands that wait ------------------------------------------------------------------------------------

    /// Whether a command has to wait for somebody who is on the way, or behind another one.
    pub(crate) fn must_wait(&self, command: &Command) -> bool {
        concerned(command).into_iter().flatten().any(|id| {
            self.bound_for(id).is_some()
                || self.held.iter().any(|held| concerned(held).into_iter().flatten().any(|other| other == id))
        })
    }

    pub(crate) fn hold(&mut self, command: Command) {
        self.held.push_back(command);
    }

    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// All commands that wait, to be tried again in this order.
    pub(crate) fn take_held(&mut self) -> VecDeque<Command> {
        std::mem::take(&mut self.held)
    }

    // ---- moving ------------------------------------------------------------------------------------------------

    /// Who has to move before this command can be obeyed. They count as being on their way from now on.
    pub(crate) fn departure(&mut self, command: &Command) -> Option<Departure> {
        let Command::Feed(listener, feed) = command else { return None };
        let listener = *listener;
        let (movers, to) = match feed {
            Feed::Session(source) => self.pair(listener, *source)?,
            Feed::Mix(mix) => {
                let member = self.mixes.get(mix)?.iter().find(|&&member| member != listener)?;
                (self.audience(listener), self.worker(*member))
            }
            Feed::Silence | Feed::Tone(_) => return None,
        };
        let from = self.worker(*movers.first()?);
        if from == to || movers.iter().any(|id| self.sessions.get(id).is_none_or(|place| place.closing)) {
            return None;
        }
        let mut passengers = Vec::with_capacity(movers.len());
        for id in movers {
            let seat = self.sessions.get(&id).map(|place| place.seat);
            let next = seat.and_then(|seat| self.slots.allocate_beside(seat, to));
            let (Some(place), Some(next)) = (self.sessions.get_mut(&id), next) else {
                self.apart += 1;
                self.call_off(&Departure { from, to, passengers });
                return None;
            };
            place.bound_for = Some(next);
            passengers.push((id, next.slot()));
        }
        Some(Departure { from, to, passengers })
    }

    /// Who moves so that two sessions are on one worker, and where to.
    fn pair(&self, listener: SessionId, source: SessionId) -> Option<(Vec<SessionId>, u8)> {
        let alone = |id: SessionId| {
            let hears = self.sessions.get(&id).map(|place| place.hears);
            matches!(hears, Some(Hears::Nobody)) || hears == Some(Hears::Session(id))
        };
        for id in [listener, source] {
            self.sessions.get(&id).filter(|place| !place.closing)?;
        }
        let movers = self.audience(listener);
        let (here, there) = (self.worker(listener), self.worker(source));
        if alone(source) && self.audience(source).len() == 1 {
            // Fewest go, and where both are alone, to where fewer are.
            let emptier = self.slots.in_use(here) < self.slots.in_use(there);
            if movers.len() > 1 || emptier {
                return Some((vec![source], here));
            }
        }
        Some((movers, there))
    }

    /// A session and all who hear it, and who hear those.
    fn audience(&self, id: SessionId) -> Vec<SessionId> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(&source) = found.get(next) {
            next += 1;
            let listeners = self.sessions.iter().filter(|(_, place)| place.hears == Hears::Session(source));
            for (&listener, _) in listeners {
                if !found.contains(&listener) {
                    found.push(listener);
                }
            }
        }
        found
    }

    /// They stay where they are.
    pub(crate) fn call_off(&mut self, departure: &Departure) {
        for (id, _) in &departure.passengers {
            if let Some(seat) = self.sessions.get_mut(id).and_then(|place| place.bound_for.take()) {
                self.slots.release(seat);
            }
        }
    }

    /// A session has left its old worker.
    pub(crate) fn left(&mut self, id: SessionId) {
        let Some(place) = self.sessions.get_mut(&id) else { return };
        let Some(seat) = place.bound_for.take() else { return };
        self.slots.release(std::mem::replace(&mut place.seat, seat));
        self.moved += 1;
    }

    /// A command goes to its worker: who hears whom from now on.
    pub(crate) fn note(&mut self, command: &Command) {
        let id = command.session();
        let hears = if let Command::Feed(_, feed) = command {
            Hears::from(feed)
        } else if matches!(command, Command::Close(_)) {
            Hears::Nobody
        } else {
            return;
        };
        let Some(place) = self.sessions.get_mut(&id).filter(|place| !place.closing) else { return };
        place.closing = matches!(command, Command::Close(_));
        let before = std::mem::replace(&mut place.hears, hears);
        self.leave(id, before);
        if let Hears::Mix(mix) = hears {
            self.mixes.entry(mix).or_default().insert(id);
        }
    }

    fn leave(&mut self, id: SessionId, heard: Hears) {
        let Hears::Mix(mix) = heard else { return };
        let Some(members) = self.mixes.get_mut(&mix) else { return };
        members.remove(&id);
        if members.is_empty() {
            self.mixes.remove(&mix);
        }
    }
}

/// The sessions a command is about.
fn concerned(command: &Command) -> [Option<SessionId>; 2] {
    let other = if let Command::Feed(_, Feed::Session(other)) | Command::Gain(_, other, _) = command {
        Some(*other)
    } else {
        None
    };
    [Some(command.session()), other]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(sessions: usize) -> (Placement, Vec<SessionId>) {
        let mut placement = Placement::new(Slots::new(2, 8));
        let ids = (0..sessions)
            .map(|port| {
                let id = placement.allocate(None).expect("slots suffice");
                placement.settle(id, Some(port as u16));
                id
            })
            .collect();
        (placement, ids)
    }

    fn hear(listener: SessionId, source: SessionId) -> Command {
        Command::Feed(listener, Feed::Session(source))
    }

    /// As the engine does it, without workers.
    fn send(placement: &mut Placement, command: Command) -> Option<Departure> {
        let departure = placement.departure(&command);
        match &departure {
            Some(_) => placement.hold(command),
            None => placement.note(&command),
        }
        departure
    }

    fn arrive(placement: &mut Placement, departure: &Departure) {
        for (id, _) in &departure.passengers {
            placement.left(*id);
        }
        for command in placement.take_held() {
            assert!(placement.departure(&command).is_none(), "they are together now");
            placement.note(&command);
        }
    }

    #[test]
    fn the_one_who_is_to_hear_moves_and_commands_for_both_wait() {
        let (mut placement, ids) = placement(4);
        let (a, b, c) = (ids[0], ids[1], ids[2]);
        assert_eq!((placement.worker(a), placement.worker(b)), (0, 1));
        let departure = send(&mut placement, hear(a, b)).expect("they are apart");
        assert_eq!((departure.from, departure.to, departure.passengers[0].0), (0, 1, a));
        assert!(placement.must_wait(&hear(b, a)) && placement.must_wait(&Command::Close(a)));
        assert!(placement.must_wait(&Command::Close(b)), "it comes after what waits");
        assert!(!placement.must_wait(&Command::Close(c)));
        arrive(&mut placement, &departure);
        assert_eq!((placement.worker(a), placement.bound_for(a)), (1, None));
        assert!(send(&mut placement, hear(b, a)).is_none());
        assert_eq!((placement.in_use(0), placement.in_use(1)), (1, 3));
        assert_eq!(placement.allocate(Some(a)).map(SessionId::worker), Some(1), "beside where it is now");
    }

    #[test]
    fn an_audience_comes_along_unless_the_source_is_alone() {
        let (mut placement, ids) = placement(6);
        let (a, b, d, f) = (ids[0], ids[1], ids[3], ids[5]);
        for listener in [ids[2], ids[4]] {
            assert!(send(&mut placement, hear(listener, a)).is_none());
        }
        let departure = send(&mut placement, hear(a, b)).expect("they are apart");
        assert_eq!(departure.passengers.len(), 1);
        assert_eq!((departure.passengers[0].0, departure.to), (b, 0));
        arrive(&mut placement, &departure);
        assert!(send(&mut placement, hear(d, f)).is_none());
        let departure = send(&mut placement, hear(a, d)).expect("they are apart");
        assert_eq!((departure.passengers.len(), departure.to), (3, 1));
        arrive(&mut placement, &departure);
        assert_eq!((placement.in_use(0), placement.in_use(1)), (1, 5));
    }

    #[test]
    fn of_two_who_are_alone_one_moves_to_the_emptier_worker() {
        let (mut placement, ids) = placement(5);
        placement.note(&Command::Close(ids[1]));
        assert!(placement.remove(ids[1]).is_some());
        let departure = send(&mut placement, hear(ids[3], ids[0])).expect("they are apart");
        assert_eq!((departure.passengers[0].0, departure.to), (ids[0], 1));
    }

    #[test]
    fn who_joins_a_mix_moves_to_it_and_who_closes_stays() {
        let (mut placement, ids) = placement(4);
        let join = |id| Command::Feed(id, Feed::Mix(MixId(1)));
        assert!(send(&mut placement, join(ids[0])).is_none());
        let departure = send(&mut placement, join(ids[1])).expect("they are apart");
        assert_eq!(departure.to, 0);
        arrive(&mut placement, &departure);
        placement.note(&Command::Close(ids[3]));
        assert!(send(&mut placement, join(ids[3])).is_none());
        for id in [ids[0], ids[1]] {
            placement.note(&Command::Close(id));
            assert!(placement.remove(id).is_some());
        }
        // Empty, it may begin anywhere.
        assert_eq!(placement.mixes.len(), 0);
        assert_eq!(placement.in_use(0), 1);
    }

    #[test]
    fn without_a_seat_everybody_stays() {
        let (mut placement, ids) = placement(2);
        let full: Vec<_> = std::iter::from_fn(|| placement.slots.allocate_beside(ids[0], 1)).collect();
        assert!(!full.is_empty());
        let before = placement.in_use(0);
        let join = |id| Command::Feed(id, Feed::Mix(MixId(1)));
        assert!(send(&mut placement, join(ids[1])).is_none());
        assert!(placement.departure(&join(ids[0])).is_none());
        assert_eq!((placement.apart, placement.in_use(0), placement.bound_for(ids[0])), (1, before, None));
    }
}
