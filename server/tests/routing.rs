//! Who answers a dialled user.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use control::signaling::StatusCode;
use server::{
    config::Config,
    routing::{Party, Router, Task},
};

fn router(text: &str) -> Router {
    Router::new(Config::parse(Path::new("offhook.toml"), text).unwrap().routes)
}

fn is_alice(user: &str) -> bool {
    user == "alice"
}

/// The party a dialled user is connected to.
fn party(router: &Router, user: &str) -> String {
    match router.task(user, is_alice) {
        Task::Dial(call) => match call.party {
            Party::Uri(uri) => uri.to_string(),
            Party::User(name) => format!("user {name}"),
        },
        Task::Reject(code) => code.to_string(),
        other @ (Task::Echo | Task::Play { .. } | Task::Conference { .. } | Task::Tone { .. }) => {
            format!("{other:?}")
        }
    }
}

#[test]
fn the_first_matching_route_wins() {
    let router = router(
        r#"
        [[route]]
        to = "1.*"
        app = "echo"
        [[route]]
        to = "100"
        app = "reject"
        code = 486
        "#,
    );
    assert!(matches!(router.task("100", is_alice), Task::Echo));
    assert!(matches!(router.task("200", is_alice), Task::Reject(StatusCode::NOT_FOUND)));
}

#[test]
fn an_expression_matches_the_whole_user() {
    let router = router("[[route]]\nto = \"echo|test\"\napp = \"echo\"");
    assert!(matches!(router.task("echo", is_alice), Task::Echo));
    assert!(matches!(router.task("test", is_alice), Task::Echo));
    for other in ["echo2", "xtest", "echo\n", "", "Echo"] {
        assert!(matches!(router.task(other, is_alice), Task::Reject(StatusCode::NOT_FOUND)), "{other:?}");
    }
}

#[test]
fn a_conference_is_named_by_what_was_dialled() {
    let router = router("[[route]]\nto = \"conf(\\\\d+)\"\napp = \"conference\"\nlimit = 9");
    for user in ["conf1", "conf22"] {
        let Task::Conference { name, limit } = router.task(user, is_alice) else { panic!("{user}") };
        assert_eq!((name.as_str(), limit), (user, Some(9)));
    }
}

#[test]
fn captures_are_put_into_the_target() {
    let router = router(
        r#"
        [[route]]
        to = "9(\\d+)x?(?<door>\\d)?"
        app = "dial"
        target = "sip:$1@127.0.0.1:5090;door=1${door}$$"
        "#,
    );
    assert_eq!(party(&router, "9123x4"), "sip:123@127.0.0.1:5090;door=14$");
    assert_eq!(party(&router, "9123"), "sip:123@127.0.0.1:5090;door=1$");
}

#[test]
fn what_was_dialled_cannot_lead_the_call_elsewhere() {
    let router = router("[[route]]\nto = \"9(.*)\"\napp = \"dial\"\ntarget = \"sip:$1@127.0.0.1\"");
    assert_eq!(party(&router, "9a@evil.example"), "sip:a%40evil.example@127.0.0.1");
    assert_eq!(party(&router, "9a;transport=tcp?x=y"), "sip:a%3Btransport%3Dtcp%3Fx%3Dy@127.0.0.1");
    assert_eq!(party(&router, "9ä"), "sip:%C3%A4@127.0.0.1");
}

#[test]
fn users_are_reached_by_their_name_after_all_routes() {
    let open = router("[[route]]\nto = \"a\"\napp = \"echo\"");
    assert_eq!(party(&open, "alice"), "user alice");
    assert_eq!(party(&open, "bob"), "404");
    let taken = router("[[route]]\nto = \"alice\"\napp = \"reject\"\ncode = 480");
    assert_eq!(party(&taken, "alice"), "480");
}

#[test]
fn a_route_may_ring_a_user_under_another_name() {
    let router = router("[[route]]\nto = \"door-(.+)\"\napp = \"dial\"\ntarget = \"user:$1\"");
    assert_eq!(party(&router, "door-alice"), "user alice");
    assert_eq!(party(&router, "door-a b"), "user a b");
}
