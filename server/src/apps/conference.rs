//! Callers of the same number hear each other.

use std::{collections::BTreeMap, time::Instant};

use control::{Command, LegId, Switchboard, media::MixId, signaling::StatusCode};

use super::{ask, reject};

/// Conferences with somebody in them, by the number that was dialled.
#[derive(Debug, Default)]
pub(super) struct Conferences {
    open: BTreeMap<String, Conference>,
    /// How many there ever were.
    opened: u64,
}

#[derive(Debug)]
struct Conference {
    mix: MixId,
    /// Legs that have not ended.
    members: usize,
}

/// One caller in a conference.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
}

impl Conferences {
    /// Lets a caller in, or refuses it when the conference is full: `None`.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        caller: LegId,
        name: String,
        limit: Option<usize>,
        switchboard: &mut Switchboard,
    ) -> Option<Member> {
        let present = self.open.get(&name).map_or(0, |conference| conference.members);
        if limit.is_some_and(|limit| present >= limit) {
            reject::reject(now, caller, StatusCode::BUSY_HERE, switchboard);
            return None;
        }
        let opened = &mut self.opened;
        let conference = self.open.entry(name.clone()).or_insert_with(|| {
            *opened += 1;
            Conference { mix: MixId(*opened), members: 0 }
        });
        conference.members += 1;
        // Not even the first word is lost: the caller is in before it is answered.
        if !ask(now, caller, Command::Join(conference.mix), switchboard)
            || !ask(now, caller, Command::Answer, switchboard)
        {
            ask(now, caller, Command::HangUp(None), switchboard);
        }
        Some(Member { name })
    }

    /// A member's leg has ended.
    pub(super) fn end(&mut self, member: &Member) {
        let Some(conference) = self.open.get_mut(&member.name) else { return };
        conference.members -= 1;
        if conference.members == 0 {
            self.open.remove(&member.name);
        }
    }
}
