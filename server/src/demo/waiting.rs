//! Waits for what a phone tells.

#![expect(clippy::wildcard_enum_match_arm, reason = "a wait passes over all news but those it is for")]

use std::{future::Future, time::Instant};

use control::CallRecord;

use super::LIMIT;
use crate::phone::{Handset, News};

pub(super) fn is_recording(news: &News) -> bool {
    matches!(news, News::Records)
}

pub(super) async fn registered(phone: &mut Handset) -> Result<(), String> {
    let user = phone.user.clone();
    let outcome = phone.wait(LIMIT, |_, news| match news {
        News::Registered(_) => Some(Ok(())),
        News::RegistrationFailed(code) => Some(Err(format!("{user} cannot register: {code}"))),
        _ => None,
    });
    or_late(outcome, || format!("{user} is not registered")).await
}

/// Waits for one kind of news, and when it came.
pub(super) async fn heard(
    phone: &mut Handset,
    what: &str,
    wanted: impl Fn(&News) -> bool,
) -> Result<Instant, String> {
    let user = phone.user.clone();
    let outcome = phone.wait(LIMIT, |at, news| match news {
        News::Ended(record) => {
            Some(Err(format!("{user}: the call ended: {} {}", record.code, record.reason)))
        }
        News::Refused(why) => Some(Err(format!("{user}: {why}"))),
        news => wanted(&news).then_some(Ok(at)),
    });
    or_late(outcome, || format!("{user}: not so: {user} {what}")).await
}

pub(super) async fn ended(phone: &mut Handset) -> Result<CallRecord, String> {
    let user = phone.user.clone();
    let outcome = phone.wait(LIMIT, |_, news| match news {
        News::Ended(record) => Some(Ok(*record)),
        _ => None,
    });
    or_late(outcome, || format!("the call of {user} does not end")).await
}

pub(super) async fn written(phone: &mut Handset) -> Result<(), String> {
    let user = phone.user.clone();
    let outcome = phone.wait(LIMIT, |_, news| match news {
        News::Recorded(_) => Some(Ok(())),
        News::Refused(why) => Some(Err(format!("{user}: {why}"))),
        _ => None,
    });
    or_late(outcome, || format!("the recording of {user} is not complete")).await
}

async fn or_late<T>(
    outcome: impl Future<Output = Option<Result<T, String>>>,
    late: impl FnOnce() -> String,
) -> Result<T, String> {
    outcome.await.unwrap_or_else(|| Err(format!("{} within {} s", late(), LIMIT.as_secs())))
}
