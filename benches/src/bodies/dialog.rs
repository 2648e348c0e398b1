//! A whole call through two endpoints: INVITE, 180, 200, ACK, BYE, 200, both sides, and the time until nothing of it is
//! left. Bodies are not read: this is signaling alone.

use signaling::{Body as Content, Event, NameAddr, Outgoing, StatusCode, Uri};

use super::{
    Body,
    sip_world::{CALLEE, CALLER, World, address},
};

/// INVITE, 100 or 180, 200, ACK, BYE, 200.
const LEAST_MESSAGES: u64 = 6;

/// One call, both of its ends.
#[must_use]
pub fn all() -> Vec<Body> {
    let mut world = World::new();
    let outgoing = Outgoing {
        body: Some(Content::sdp("v=0\r\n")),
        ..Outgoing::new(
            Uri::at(Some("bob"), address(CALLEE)),
            NameAddr::new(Uri::at(Some("alice"), address(CALLER))),
        )
    };
    vec![Body::new("dialog", "call", 1, move || call(&mut world, &outgoing))]
}

/// Returns 1 if it was answered, ended, and left nothing behind.
fn call(world: &mut World, outgoing: &Outgoing) -> u64 {
    let before = world.messages;
    let mut ended = 0;
    world.parties[CALLER].dial(world.now, outgoing.clone());
    world.settle(|world, who, event| {
        let now = world.now;
        let party = &mut world.parties[who];
        if let Event::Incoming(id, _) = &event
            && let Some(mut invite) = party.invite(*id)
        {
            let rung = invite.ring(now, StatusCode::RINGING, None);
            let answered = invite.accept(now, Content::sdp("v=0\r\n"));
            assert!(rung.is_ok() && answered.is_ok(), "a new call can be answered");
        } else if let Event::Confirmed(id, _) = &event
            && let Some(mut invite) = party.invite(*id)
        {
            let left = invite.hang_up(now, None);
            assert!(left.is_ok(), "an established call can be hung up");
        } else if let Event::Ended(..) = event {
            ended += 1;
        }
    });
    world.run_out();
    let clean = world.parties.iter().all(|party| {
        let gauges = party.gauges();
        gauges.dialogs + gauges.client_transactions + gauges.server_transactions + gauges.timers == 0
    });
    u64::from(ended == 2 && clean && world.messages - before >= LEAST_MESSAGES)
}
