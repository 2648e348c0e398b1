//! Many random calls over bad networks. Whatever happens, every usage ends exactly once, is silent afterwards, and
//! nothing of it is left. A failing seed replays exactly.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use common::world::{Dice, World, address, call, call_by_tcp, sdp};
use offhook_signaling::{Body, Event, FlowId, InviteId, Outgoing, StatusCode};

#[derive(Debug, Clone, Copy)]
enum Deed {
    Ring,
    Early,
    Accept,
    Reject,
    HangUp,
    Hold,
    AskForOffer,
    AcceptModify,
    RefuseModify,
    Acknowledge,
    Info,
    /// The network says that the peers cannot be reached.
    Unreachable,
    /// All connections break.
    Disconnect,
}

struct Run {
    world: World,
    dice: Dice,
    deeds: BTreeMap<(Instant, u64), (usize, InviteId, Deed)>,
    serial: u64,
    started: BTreeSet<(usize, InviteId)>,
    ended: BTreeSet<(usize, InviteId)>,
    answered: usize,
    modified: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::of(3);
        let mut dice = Dice(seed);
        world.dice = Dice(seed ^ 0xabcd);
        world.link.loss = dice.roll(31);
        world.link.duplication = dice.roll(20);
        world.link.delay = Duration::from_millis(1 + dice.roll(150));
        world.link.jitter = Duration::from_millis(dice.roll(200));
        Self {
            world,
            dice,
            deeds: BTreeMap::new(),
            serial: 0,
            started: BTreeSet::new(),
            ended: BTreeSet::new(),
            answered: 0,
            modified: 0,
        }
    }

    /// Plans a deed within so many milliseconds.
    fn plan(&mut self, who: usize, id: InviteId, within_ms: u64, deed: Deed) {
        let at = self.world.now + Duration::from_millis(self.dice.roll(within_ms));
        self.serial += 1;
        self.deeds.insert((at, self.serial), (who, id, deed));
    }

    fn dial(&mut self) {
        let from = usize::try_from(self.dice.roll(3)).unwrap();
        let to = (from + 1 + usize::try_from(self.dice.roll(2)).unwrap()) % 3;
        let mut outgoing: Outgoing =
            if self.dice.roll(4) == 0 { call_by_tcp(from, to) } else { call(from, to) };
        if self.dice.roll(4) == 0 {
            outgoing.body = None;
        }
        outgoing.ring_timeout = Some(Duration::from_secs(5 + self.dice.roll(60)));
        let id = self.world.dial(from, outgoing);
        self.started.insert((from, id));
        if self.dice.roll(10) == 0 {
            self.plan(from, id, 30_000, Deed::Unreachable);
        }
        if self.dice.roll(3) == 0 {
            self.plan(to, id, 30_000, Deed::Disconnect);
        }
        if self.dice.roll(3) == 0 {
            self.plan(from, id, 8_000, Deed::HangUp);
        } else {
            self.plan(from, id, 90_000, Deed::HangUp);
        }
    }

    fn do_deed(&mut self, who: usize, id: InviteId, deed: Deed) {
        let now = self.world.now;
        if let Deed::Unreachable | Deed::Disconnect = deed {
            for other in 0..3u8 {
                let endpoint = self.world.endpoint(who);
                match deed {
                    Deed::Unreachable => endpoint.handle_unreachable(now, address(other.into())),
                    _ => endpoint.handle_flow_closed(now, FlowId(2 + u64::from(other))),
                }
            }
            self.world.flush();
            return;
        }
        let Some(mut invite) = self.world.endpoint(who).invite(id) else { return };
        // Most deeds do not fit the state at some time; that must do no harm.
        let _ = match deed {
            Deed::Ring => invite.ring(now, StatusCode::RINGING, None),
            Deed::Early => invite.ring(now, StatusCode::SESSION_PROGRESS, Some(sdp("preview"))),
            Deed::Accept => invite.accept(now, sdp("answer")),
            Deed::Reject => invite.reject(now, StatusCode::BUSY_HERE, None),
            Deed::HangUp => invite.hang_up(now, None),
            Deed::Hold => invite.modify(now, Some(sdp("hold"))),
            Deed::AskForOffer => invite.modify(now, None),
            Deed::AcceptModify => invite.accept_modify(now, sdp("agreed")),
            Deed::RefuseModify => invite.refuse_modify(now, StatusCode::NOT_ACCEPTABLE_HERE),
            Deed::Acknowledge => invite.acknowledge(now, Some(sdp("late answer"))),
            Deed::Info => invite.info(now, Body::new("application/dtmf", "1")),
            Deed::Unreachable | Deed::Disconnect => Ok(()),
        };
        self.world.flush();
    }

    fn react(&mut self) {
        for who in 0..3 {
            for event in self.world.events(who) {
                self.on_event(who, &event);
            }
        }
    }

    fn on_event(&mut self, who: usize, event: &Event) {
        let id = match event {
            Event::Incoming(id, _)
            | Event::Progress(id, _)
            | Event::Answered(id, _)
            | Event::Confirmed(id, _)
            | Event::Modify(id, _)
            | Event::ModifyConfirmed(id, _)
            | Event::Modified(id, _)
            | Event::ModifyFailed(id, _)
            | Event::Info(id, _)
            | Event::Ended(id, _) => *id,
            _ => return,
        };
        assert!(!self.ended.contains(&(who, id)), "{event:?} after the end\n{}", self.world.story());
        match event {
            Event::Incoming(..) => {
                assert!(self.started.insert((who, id)));
                let deed = if self.dice_says(2) { Deed::Ring } else { Deed::Early };
                self.plan(who, id, 2_000, deed);
                match self.dice.roll(6) {
                    0 => self.plan(who, id, 8_000, Deed::Reject),
                    1 => self.plan(who, id, 8_000, Deed::HangUp),
                    _ => self.plan(who, id, 8_000, Deed::Accept),
                }
                self.plan(who, id, 120_000, Deed::HangUp);
            }
            Event::Answered(_, answered) => {
                self.answered += 1;
                if answered.is_offer {
                    self.plan(who, id, 1_000, Deed::Acknowledge);
                }
                self.fidget(who, id);
            }
            Event::Confirmed(..) => self.fidget(who, id),
            Event::Modify(..) => {
                let deed = if self.dice_says(4) { Deed::RefuseModify } else { Deed::AcceptModify };
                self.plan(who, id, 1_500, deed);
            }
            Event::Modified(..) => {
                self.modified += 1;
                self.plan(who, id, 1_000, Deed::Acknowledge);
                if self.dice_says(2) {
                    self.fidget(who, id);
                }
            }
            Event::Ended(..) => {
                assert!(self.ended.insert((who, id)));
            }
            _ => {}
        }
    }

    fn fidget(&mut self, who: usize, id: InviteId) {
        self.plan(who, id, 10_000, Deed::Hold);
        self.plan(who, id, 10_000, Deed::Info);
        if self.dice_says(4) {
            self.plan(who, id, 10_000, Deed::AskForOffer);
        }
        if self.dice_says(3) {
            self.plan(who, id, 20_000, Deed::HangUp);
        }
    }

    fn dice_says(&mut self, one_in: u64) -> bool {
        self.dice.roll(one_in) == 0
    }

    fn finish(mut self) -> (usize, usize) {
        loop {
            let horizon = self.world.now + Duration::from_millis(20);
            let next = self.deeds.keys().next().map(|(at, _)| *at);
            let Some(next) = next else {
                // Nobody wants anything any more: what is left must end by itself.
                self.world.run_out();
                self.react();
                if self.deeds.is_empty() {
                    break;
                }
                continue;
            };
            self.world.run_until(next.min(horizon));
            self.react();
            while let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= self.world.now) {
                let (who, id, deed) = entry.remove();
                self.do_deed(who, id, deed);
                self.react();
            }
        }
        self.world.assert_clean();
        assert_eq!(self.started, self.ended, "{}", self.world.story());
        (self.answered, self.modified)
    }
}

fn run(seed: u64, calls: usize) -> (usize, usize) {
    let mut run = Run::new(seed);
    for _ in 0..calls {
        run.dial();
    }
    run.finish()
}

#[test]
fn every_call_ends_once_and_leaves_nothing_behind() {
    let (mut answered, mut modified) = (0, 0);
    for seed in 0..400 {
        let outcome = std::panic::catch_unwind(|| run(seed, 5));
        let Ok((a, m)) = outcome else { panic!("seed {seed} fails: run(seed, 5) replays it") };
        answered += a;
        modified += m;
    }
    // The runs must be worth something.
    assert!(answered > 800 && modified > 400, "{answered} answered, {modified} modified");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let story = |seed| {
        let mut run = Run::new(seed);
        (0..5).for_each(|_| run.dial());
        run.world.run_for(Duration::from_secs(5));
        run.world.story()
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}
