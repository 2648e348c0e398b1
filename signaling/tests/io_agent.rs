//! Two user agents call each other over real sockets, without media.
#![cfg(feature = "io")]
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests name the events they wait for and pass over the others"
)]

use std::{net::SocketAddr, time::Duration};

use offhook_signaling::{
    Body, Cause, Config, Event, InviteId, NameAddr, Outgoing, Registration, StatusCode, Transport, Uri,
    auth::credentials::User, event::RegistrationState, io::UserAgent,
};

/// Ends a hanging test; nothing is measured with it.
const HANG: Duration = Duration::from_secs(20);

const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

fn agent(transport: Transport, config: Config) -> (UserAgent, SocketAddr) {
    let agent = UserAgent::bind(&[(transport, ([127, 0, 0, 1], 0).into())], config).unwrap();
    let local = agent.listeners()[0].local;
    (agent, local)
}

fn outgoing(transport: Transport, host: &str) -> Outgoing {
    let parameter = if transport == Transport::Tcp { ";transport=tcp" } else { "" };
    let target: Uri = format!("sip:bo@{host}{parameter}").parse().unwrap();
    let mut outgoing = Outgoing::new(target, NameAddr::new("sip:ana@127.0.0.1".parse().unwrap()));
    outgoing.body = Some(Body::sdp(OFFER));
    outgoing
}

/// Runs both agents until either one tells what is wanted.
async fn until<T>(agents: [&mut UserAgent; 2], mut wanted: impl FnMut(usize, Event) -> Option<T>) -> T {
    let [a, b] = agents;
    let waiting = async {
        loop {
            let (who, event) = tokio::select! {
                event = a.event() => (0, event),
                event = b.event() => (1, event),
            };
            if let Some(found) = wanted(who, event) {
                return found;
            }
        }
    };
    tokio::time::timeout(HANG, waiting).await.expect("the event never came")
}

/// A call from the first to the second agent that is answered; the ids on both sides.
async fn call(a: &mut UserAgent, b: &mut UserAgent, outgoing: Outgoing) -> (InviteId, InviteId) {
    let dialled = a.act(|endpoint, now| endpoint.dial(now, outgoing));
    let taken = until([a, b], |_, event| match event {
        Event::Incoming(id, incoming) => {
            assert_eq!(incoming.body, Some(Body::sdp(OFFER)));
            Some(id)
        }
        _ => None,
    })
    .await;
    b.act(|endpoint, now| endpoint.invite(taken).unwrap().ring(now, StatusCode::RINGING, None)).unwrap();
    until([a, b], |who, event| {
        matches!(event, Event::Progress(id, _) if (who, id) == (0, dialled)).then_some(())
    })
    .await;
    b.act(|endpoint, now| endpoint.invite(taken).unwrap().accept(now, Body::sdp(OFFER))).unwrap();
    let (mut answered, mut confirmed) = (false, false);
    until([a, b], |_, event| {
        answered |= matches!(event, Event::Answered(id, _) if id == dialled);
        confirmed |= matches!(event, Event::Confirmed(id, _) if id == taken);
        (answered && confirmed).then_some(())
    })
    .await;
    (dialled, taken)
}

#[tokio::test]
async fn a_call_is_rung_answered_changed_and_hung_up_over_both_transports() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut a, _) = agent(transport, Config::default());
        let (mut b, at) = agent(transport, Config::default());
        let (dialled, taken) = call(&mut a, &mut b, outgoing(transport, &at.to_string())).await;

        a.act(|endpoint, now| endpoint.invite(dialled).unwrap().modify(now, Some(Body::sdp(OFFER)))).unwrap();
        until([&mut a, &mut b], |_, event| {
            matches!(event, Event::Modify(id, Some(_)) if id == taken).then_some(())
        })
        .await;
        b.act(|endpoint, now| endpoint.invite(taken).unwrap().accept_modify(now, Body::sdp(OFFER))).unwrap();
        until([&mut a, &mut b], |_, event| {
            matches!(event, Event::Modified(id, _) if id == dialled).then_some(())
        })
        .await;

        b.act(|endpoint, now| endpoint.invite(taken).unwrap().hang_up(now, None)).unwrap();
        let ended = until([&mut a, &mut b], |who, event| match event {
            Event::Ended(id, ended) if (who, id) == (0, dialled) => Some(ended),
            _ => None,
        })
        .await;
        assert_eq!(ended.cause, Cause::RemoteBye);
        assert_eq!(a.endpoint().gauges().invites, 0);
        if transport == Transport::Tcp {
            assert_eq!(b.transport_gauges().connections_accepted, 1, "one connection carries the whole call");
        }
    }
}

#[tokio::test]
async fn a_host_name_is_resolved_and_an_unknown_one_ends_the_call() {
    let (mut a, _) = agent(Transport::Udp, Config::default());
    let (mut b, at) = agent(Transport::Udp, Config::default());
    call(&mut a, &mut b, outgoing(Transport::Udp, &format!("localhost:{}", at.port()))).await;

    // A label of 64 characters is no name (RFC 1035 §2.3.4), so nobody is asked.
    let nowhere = outgoing(Transport::Udp, &"x".repeat(64));
    let dialled = a.act(|endpoint, now| endpoint.dial(now, nowhere));
    let ended = until([&mut a, &mut b], |_, event| match event {
        Event::Ended(id, ended) if id == dialled => Some(ended),
        _ => None,
    })
    .await;
    assert_eq!(ended.cause, Cause::Unreachable);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_call_to_a_dead_port_ends_at_once() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut a, _) = agent(transport, Config::default());
        let (mut b, _) = agent(Transport::Udp, Config::default());
        let (gone, at) = agent(transport, Config::default());
        drop(gone);
        let dialled = a.act(|endpoint, now| endpoint.dial(now, outgoing(transport, &at.to_string())));
        let ended = until([&mut a, &mut b], |_, event| match event {
            Event::Ended(id, ended) if id == dialled => Some(ended),
            _ => None,
        })
        .await;
        assert_eq!(ended.cause, Cause::Unreachable, "{transport:?}");
    }
}

#[tokio::test]
async fn a_registration_is_authenticated_and_removed_again() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let users = vec![User::new("ana", "offhook", "secret")];
        let (mut registrar, at) = agent(transport, Config { users, ..Config::default() });
        let (mut phone, _) = agent(transport, Config::default());
        let parameter = if transport == Transport::Tcp { ";transport=tcp" } else { "" };
        let uri: Uri = format!("sip:{at}{parameter}").parse().unwrap();
        let id = phone.act(|endpoint, now| endpoint.register(now, Registration::new(uri, "ana", "secret")));

        let (mut bound, mut registered) = (false, false);
        until([&mut registrar, &mut phone], |_, event| {
            bound |= matches!(&event, Event::Bound(user, _) if user == "ana");
            registered |= matches!(event, Event::Registration(_, RegistrationState::Registered(_)));
            (bound && registered).then_some(())
        })
        .await;
        assert_eq!(registrar.endpoint().contacts("ana").len(), 1);

        phone.act(|endpoint, now| endpoint.unregister(now, id));
        let (mut unbound, mut unregistered) = (false, false);
        until([&mut registrar, &mut phone], |_, event| {
            unbound |= matches!(&event, Event::Unbound(user, _) if user == "ana");
            unregistered |= matches!(event, Event::Registration(_, RegistrationState::Unregistered));
            (unbound && unregistered).then_some(())
        })
        .await;
        assert_eq!(registrar.endpoint().contacts("ana").len(), 0);
    }
}

#[tokio::test]
async fn the_last_bye_is_answered_before_an_agent_goes() {
    let (mut a, _) = agent(Transport::Udp, Config::default());
    let (mut b, at) = agent(Transport::Udp, Config::default());
    let (dialled, taken) = call(&mut a, &mut b, outgoing(Transport::Udp, &at.to_string())).await;
    a.act(|endpoint, now| endpoint.invite(dialled).unwrap().hang_up(now, None)).unwrap();
    // Whoever waits longer than the other one ends the test: it is the BYE that must get through.
    let going = tokio::spawn(a.finish(HANG));
    let ended = tokio::time::timeout(HANG, async {
        loop {
            if let Event::Ended(id, ended) = b.event().await {
                break (id, ended.cause);
            }
        }
    });
    assert_eq!(ended.await.unwrap(), (taken, Cause::RemoteBye));
    going.abort();
}
