//! Our challenges and whether an answer is right.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use subtle::ConstantTimeEq;

use super::{
    credentials::User,
    digest::{self, Algorithm, Inputs},
};
use crate::message::{
    header::{authorization::Authorization, www_authenticate::WwwAuthenticate},
    name::Name,
    request::Request,
    uri::Uri,
};

/// Checks the digest of requests against our users.
///
/// Nothing is kept for a challenge that is given out: a nonce proves itself by its own code. Only nonces that were used
/// with the right password are remembered, until they expire, so that no answer counts twice.
#[derive(Debug)]
pub struct Authenticator {
    realm: String,
    /// The preferred first.
    algorithms: Vec<Algorithm>,
    nonce_key: [u8; 32],
    /// Stands in for a user that does not exist, so that the check takes as long.
    nobody: User,
    users: BTreeMap<String, User>,
    /// Time is counted from the first call.
    epoch: Option<Instant>,
    serial: u64,
    used: BTreeMap<u64, Use>,
    /// Uses of nonces up to this serial are forgotten: none of them counts any more.
    forgotten: u64,
}

/// What comes of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This user sent it. Whether they may do what they ask for is another question.
    Ok(String),
    /// Answer 401 with one WWW-Authenticate for each of these values. No word about why: an unknown user and a wrong
    /// password look the same.
    Challenge(Vec<String>),
}

/// How often a nonce was used.
#[derive(Debug)]
struct Use {
    /// Second of the challenge.
    issued: u32,
    highest: u32,
    /// Bit n: `highest - n` was used. Datagrams may overtake each other.
    recent: u64,
}

enum Judgement {
    Right(String),
    Stale,
    Wrong,
}

impl Authenticator {
    /// For these users; those of another realm cannot be checked and are left out. Challenges offer MD5 until
    /// [`Authenticator::offer`] says otherwise.
    #[must_use]
    pub fn new(realm: &str, seed: &[u8; 32], users: impl IntoIterator<Item = User>) -> Self {
        let nobody = digest::hex(&digest::mac(seed, b"nobody"));
        let mut authenticator = Self {
            realm: realm.into(),
            algorithms: vec![Algorithm::Md5],
            nonce_key: digest::mac(seed, b"nonce"),
            nobody: User::new("", realm, &nobody),
            users: BTreeMap::new(),
            epoch: None,
            serial: 0,
            used: BTreeMap::new(),
            forgotten: 0,
        };
        authenticator.set_users(users);
        authenticator
    }

    /// Offers these algorithms, the preferred first, and takes answers in no other.
    pub fn offer(&mut self, algorithms: Vec<Algorithm>) {
        self.algorithms = algorithms;
    }

    /// Replaces all users.
    pub fn set_users(&mut self, users: impl IntoIterator<Item = User>) {
        let own = users.into_iter().filter(|user| user.realm() == self.realm);
        self.users = own.map(|user| (user.name.clone(), user)).collect();
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn knows(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// Who sent this request, or how to challenge it.
    pub fn check(&mut self, now: Instant, request: &Request) -> Verdict {
        let age = now.saturating_duration_since(*self.epoch.get_or_insert(now)).as_secs();
        let now = u32::try_from(age).unwrap_or(u32::MAX);
        let answers = request.headers.all(Name::Authorization).filter_map(Authorization::parse);
        // One in another realm is meant for somebody behind us.
        let Some(answer) = answers.take(MAX_ANSWERS).find(|answer| answer.realm == self.realm) else {
            return Verdict::Challenge(self.challenge(now, false));
        };
        match self.judge(now, request, &answer) {
            Judgement::Right(user) => Verdict::Ok(user),
            Judgement::Stale => Verdict::Challenge(self.challenge(now, true)),
            Judgement::Wrong => Verdict::Challenge(self.challenge(now, false)),
        }
    }

    /// How many used nonces are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.used.len()
    }

    fn judge(&mut self, now: u32, request: &Request, answer: &Authorization) -> Judgement {
        let user = self.users.get(&answer.username);
        let algorithm = Algorithm::parse(answer.algorithm.as_deref());
        let algorithm = algorithm.filter(|algorithm| self.algorithms.contains(algorithm));
        let qop = match (answer.qop.as_deref(), answer.nc, &answer.cnonce) {
            (Some(qop), Some(count), Some(_)) if qop.eq_ignore_ascii_case("auth") => Some(Some((qop, count))),
            (None, _, _) => Some(None),
            (Some(_), _, _) => None,
        };
        let (Some(algorithm), Some(qop)) = (algorithm, qop) else { return Judgement::Wrong };
        let inputs = Inputs {
            algorithm,
            nonce: &answer.nonce,
            cnonce: answer.cnonce.as_deref().unwrap_or_default(),
            qop,
            method: request.method.as_str(),
            uri: &answer.uri,
        };
        let expected = digest::response(user.unwrap_or(&self.nobody).key(algorithm), &inputs);
        let given = answer.response.to_ascii_lowercase();
        let equal = bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
        let Some(user) = user.filter(|_| equal && same_target(&answer.uri, &request.uri)) else {
            return Judgement::Wrong;
        };
        let name = user.name.clone();
        let Some((issued, serial)) = self.read_nonce(now, &answer.nonce) else { return Judgement::Stale };
        // Without a count a nonce serves one request only.
        if self.take(issued, serial, qop.map_or(u32::MAX, |(_, count)| count)) {
            Judgement::Right(name)
        } else {
            Judgement::Stale
        }
    }

    fn challenge(&mut self, now: u32, stale: bool) -> Vec<String> {
        self.serial += 1;
        self.forget(now);
        let nonce = self.nonce(now, self.serial);
        // RFC 8760 §2.1: the preferred one first.
        self.algorithms
            .iter()
            .map(|algorithm| {
                WwwAuthenticate {
                    realm: self.realm.clone(),
                    nonce: nonce.clone(),
                    algorithm: Some(algorithm.as_str().into()),
                    qop: vec!["auth".into()],
                    stale,
                    opaque: None,
                }
                .to_string()
            })
            .collect()
    }

    /// RFC 7616 §5.4: second, serial number and a code that only we can make.
    fn nonce(&self, issued: u32, serial: u64) -> String {
        let claim = format!("{issued:08x}{serial:016x}");
        let code = digest::hex(&digest::mac(&self.nonce_key, claim.as_bytes())[..CODE_BYTES]);
        claim + &code
    }

    /// Second and serial number of a nonce of ours that has not expired.
    fn read_nonce(&self, now: u32, nonce: &str) -> Option<(u32, u64)> {
        let issued = u32::from_str_radix(nonce.get(..8)?, 16).ok()?;
        let serial = u64::from_str_radix(nonce.get(8..24)?, 16).ok()?;
        let genuine = bool::from(self.nonce(issued, serial).as_bytes().ct_eq(nonce.as_bytes()));
        (genuine && !is_expired(now, issued)).then_some((issued, serial))
    }

    /// Counts a use of a nonce; false if this count was used before or may have been.
    fn take(&mut self, issued: u32, serial: u64, count: u32) -> bool {
        if count == 0 || serial <= self.forgotten {
            return false;
        }
        let Some(known) = self.used.get_mut(&serial) else {
            self.used.insert(serial, Use { issued, highest: count, recent: 1 });
            if self.used.len() > MAX_USED
                && let Some((oldest, _)) = self.used.pop_first()
            {
                self.forgotten = oldest;
            }
            return true;
        };
        if let Some(ahead) = count.checked_sub(known.highest).filter(|&ahead| ahead > 0) {
            known.recent = known.recent.checked_shl(ahead).unwrap_or(0) | 1;
            known.highest = count;
            return true;
        }
        let Some(bit) = 1u64.checked_shl(known.highest - count).filter(|bit| known.recent & bit == 0) else {
            return false;
        };
        known.recent |= bit;
        true
    }

    /// Expired nonces are refused for their age; nobody needs to know how often they were used.
    fn forget(&mut self, now: u32) {
        while let Some(oldest) = self.used.first_entry().filter(|oldest| is_expired(now, oldest.get().issued))
        {
            oldest.remove();
        }
    }
}

fn is_expired(now: u32, issued: u32) -> bool {
    u64::from(now.saturating_sub(issued)) > NONCE_LIFETIME.as_secs()
}

/// RFC 7616 §3.4.6: a digest is good for its own target only. Port and parameters are left out of the comparison, as
/// phones and proxies add and remove them.
fn same_target(answered: &str, requested: &Uri) -> bool {
    Uri::parse(answered).is_ok_and(|uri| {
        uri.user_unescaped() == requested.user_unescaped() && uri.host.equivalent(&requested.host)
    })
}

/// How long a nonce may be used.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// Used nonces that are remembered at most.
const MAX_USED: usize = 65_536;
/// Authorization headers of a request that are looked at.
const MAX_ANSWERS: usize = 8;
/// Length of the code in a nonce.
const CODE_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::client::ClientAuth,
        message::{method::Method, response::Response, status::StatusCode},
    };

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn base() -> Instant {
        Instant::now()
    }

    fn authenticator() -> Authenticator {
        Authenticator::new("offhook", &[7; 32], [User::new("alice", "offhook", "wonderland")])
    }

    fn register() -> Request {
        Request::new(Method::Register, Uri::parse("sip:offhook.example").unwrap())
    }

    fn challenge(verdict: Verdict) -> Response {
        let Verdict::Challenge(values) = verdict else { panic!("{verdict:?}") };
        let mut response = Response::new(StatusCode::UNAUTHORIZED);
        for value in values {
            response.headers.push(Name::WwwAuthenticate, value);
        }
        response
    }

    fn is_stale(response: &Response) -> bool {
        response.headers.get(Name::WwwAuthenticate).and_then(WwwAuthenticate::parse).unwrap().stale
    }

    fn login(
        authenticator: &mut Authenticator,
        now: Instant,
        user: &str,
        password: &str,
    ) -> (ClientAuth, Verdict) {
        let mut client = ClientAuth::new(user, password);
        client.handle_challenge(&challenge(authenticator.check(now, &register()))).unwrap();
        let mut request = register();
        client.authorize(&mut request, "cnonce");
        let verdict = authenticator.check(now, &request);
        (client, verdict)
    }

    #[test]
    fn the_right_password_is_let_in_with_either_algorithm() {
        let mut authenticator = authenticator();
        authenticator.offer(vec![Algorithm::Sha256, Algorithm::Md5]);
        let now = base();
        let (_, verdict) = login(&mut authenticator, now, "alice", "wonderland");
        assert_eq!(verdict, Verdict::Ok("alice".into()));
        let mut response = challenge(authenticator.check(now, &register()));
        let all: Vec<String> = response.headers.all(Name::WwwAuthenticate).map(Into::into).collect();
        assert!(all[0].contains("SHA-256") && all[1].contains("algorithm=MD5"));
        response.headers.set(Name::WwwAuthenticate, all[1].clone());
        let mut client = ClientAuth::new("alice", "wonderland");
        client.handle_challenge(&response).unwrap();
        let mut request = register();
        client.authorize(&mut request, "c");
        assert_eq!(authenticator.check(now, &request), Verdict::Ok("alice".into()));
    }

    #[test]
    fn an_answer_in_an_algorithm_that_was_not_offered_is_challenged() {
        let mut authenticator = authenticator();
        let now = base();
        let response = challenge(authenticator.check(now, &register()));
        let mut client = ClientAuth::new("alice", "wonderland");
        client.handle_challenge(&response).unwrap();
        let mut request = register();
        client.authorize(&mut request, "c");
        authenticator.offer(vec![Algorithm::Sha256]);
        assert!(matches!(authenticator.check(now, &request), Verdict::Challenge(_)));
    }

    #[test]
    fn unknown_user_wrong_password_and_none_look_the_same() {
        let mut authenticator = authenticator();
        let now = base();
        let shape = |verdict: Verdict| {
            let Verdict::Challenge(values) = verdict else { panic!("{verdict:?}") };
            let without_nonce = |value: &String| {
                let mut challenge = WwwAuthenticate::parse(value).unwrap();
                let length = std::mem::take(&mut challenge.nonce).len();
                (challenge.to_string(), length)
            };
            values.iter().map(without_nonce).collect::<Vec<_>>()
        };
        let none = shape(authenticator.check(now, &register()));
        assert_eq!(shape(login(&mut authenticator, now, "alice", "wrong").1), none);
        assert_eq!(shape(login(&mut authenticator, now, "nobody", "wrong").1), none);
        assert_eq!(shape(login(&mut authenticator, now, "", "").1), none);
        assert_eq!(authenticator.remembered(), 0);
    }

    #[test]
    fn an_answer_counts_once_and_later_counts_go_on() {
        let mut authenticator = authenticator();
        let now = base();
        let (mut client, _) = login(&mut authenticator, now, "alice", "wonderland");
        let requests: Vec<Request> = (0..3)
            .map(|_| {
                let mut request = register();
                client.authorize(&mut request, "cnonce");
                request
            })
            .collect();
        for index in [1, 0, 2] {
            assert_eq!(authenticator.check(now, &requests[index]), Verdict::Ok("alice".into()));
        }
        for request in &requests {
            assert!(is_stale(&challenge(authenticator.check(now, request))));
        }
        assert_eq!(authenticator.remembered(), 1);
    }

    #[test]
    fn an_old_nonce_is_stale_and_forgotten() {
        let mut authenticator = authenticator();
        let now = base();
        let (mut client, _) = login(&mut authenticator, now, "alice", "wonderland");
        let later = now + NONCE_LIFETIME + Duration::from_secs(1);
        let mut request = register();
        client.authorize(&mut request, "cnonce");
        let response = challenge(authenticator.check(later, &request));
        assert!(is_stale(&response));
        assert_eq!(authenticator.remembered(), 0);
        client.handle_success();
        client.handle_challenge(&response).unwrap();
        client.authorize(&mut request, "cnonce");
        assert_eq!(authenticator.check(later, &request), Verdict::Ok("alice".into()));
    }

    #[test]
    fn a_nonce_of_another_key_is_stale_only_for_who_knows_the_password() {
        let mut other = Authenticator::new("offhook", &[8; 32], []);
        let mut authenticator = authenticator();
        let now = base();
        for (password, stale) in [("wonderland", true), ("wrong", false)] {
            let mut client = ClientAuth::new("alice", password);
            client.handle_challenge(&challenge(other.check(now, &register()))).unwrap();
            let mut request = register();
            client.authorize(&mut request, "cnonce");
            assert_eq!(is_stale(&challenge(authenticator.check(now, &request))), stale);
        }
    }

    #[test]
    fn an_answer_for_another_target_or_method_does_not_count() {
        let mut authenticator = authenticator();
        let now = base();
        let mut client = ClientAuth::new("alice", "wonderland");
        client.handle_challenge(&challenge(authenticator.check(now, &register()))).unwrap();
        let mut request = register();
        client.authorize(&mut request, "cnonce");
        let mut moved = request.clone();
        moved.uri = Uri::parse("sip:premium@elsewhere.example").unwrap();
        assert!(!is_stale(&challenge(authenticator.check(now, &moved))));
        let mut other = request.clone();
        other.method = Method::Invite;
        assert!(!is_stale(&challenge(authenticator.check(now, &other))));
        assert_eq!(authenticator.check(now, &request), Verdict::Ok("alice".into()));
    }

    #[test]
    fn without_a_count_a_nonce_serves_once() {
        let mut authenticator = authenticator();
        let now = base();
        let mut response = challenge(authenticator.check(now, &register()));
        let mut old = response.headers.get(Name::WwwAuthenticate).and_then(WwwAuthenticate::parse).unwrap();
        old.qop.clear();
        response.headers.set(Name::WwwAuthenticate, old.to_string());
        let mut client = ClientAuth::new("alice", "wonderland");
        client.handle_challenge(&response).unwrap();
        let mut request = register();
        client.authorize(&mut request, "c");
        assert_eq!(authenticator.check(now, &request), Verdict::Ok("alice".into()));
        assert!(is_stale(&challenge(authenticator.check(now, &request))));
    }

    #[test]
    fn remembered_nonces_are_bounded_and_none_is_used_twice() {
        let mut authenticator = authenticator();
        for serial in 1..=MAX_USED as u64 + 10 {
            assert!(authenticator.take(0, serial, 1));
        }
        assert_eq!(authenticator.remembered(), MAX_USED);
        assert!(!authenticator.take(0, 1, 2));
        assert!(!authenticator.take(0, 11, 1));
        assert!(authenticator.take(0, 11, 2));
    }
}
