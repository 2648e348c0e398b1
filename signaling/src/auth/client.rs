//! Our answers to the challenges of others.

use super::{
    credentials::Secret,
    digest::{self, Algorithm, Inputs},
};
use crate::message::{
    header::{authorization::Authorization, www_authenticate::WwwAuthenticate},
    method::Method,
    name::Name,
    request::Request,
    response::Response,
    status::StatusCode,
};

/// Credentials together with the challenges they have answered, for one registration or one outgoing INVITE usage.
///
/// Upon 401 or 407 call [`ClientAuth::handle_challenge`]; if it agrees, build the request again with a higher CSeq and a
/// new branch and let [`ClientAuth::authorize`] add the headers. Later requests to the same party are authorized at once
/// in the same way, with the next nonce count. An ACK to a 2xx repeats the headers of its INVITE.
#[derive(Debug, Clone)]
pub struct ClientAuth {
    user: String,
    password: Secret,
    challenges: Vec<Known>,
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The status is neither 401 nor 407.
    NoChallenge,
    /// There is no challenge in an algorithm and quality that we know.
    Unsupported,
    /// The answer to the last one was not accepted: the user or password is wrong.
    WrongPassword,
}

#[derive(Debug, Clone)]
struct Known {
    from_proxy: bool,
    challenge: WwwAuthenticate,
    algorithm: Algorithm,
    /// How often the nonce was used.
    count: u32,
    /// Whether the last answer in this realm led to a success.
    accepted: bool,
    /// Answers in a row that were refused as stale.
    stale: u8,
}

impl Known {
    fn is_for(&self, from_proxy: bool, realm: &str) -> bool {
        self.from_proxy == from_proxy && self.challenge.realm == realm
    }

    /// Whether the answer to this challenge could fare better than the last.
    fn renew(&mut self, challenge: &WwwAuthenticate, algorithm: Algorithm) -> Result<(), Refused> {
        let fresh = challenge.stale && challenge.nonce != self.challenge.nonce && self.stale < MAX_STALE;
        if self.count > 0 && !self.accepted && !fresh {
            return Err(Refused::WrongPassword);
        }
        self.stale = if self.accepted { 0 } else { self.stale + u8::from(self.count > 0) };
        self.challenge = challenge.clone();
        self.algorithm = algorithm;
        self.count = 0;
        self.accepted = false;
        Ok(())
    }
}

impl ClientAuth {
    /// For this user.
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: Secret::new(password), challenges: Vec::new() }
    }

    /// Takes the challenges out of a 401 or 407.
    ///
    /// # Errors
    /// When sending the request again makes no sense.
    pub fn handle_challenge(&mut self, response: &Response) -> Result<(), Refused> {
        let (header, from_proxy) = match response.status {
            StatusCode::UNAUTHORIZED => (Name::WwwAuthenticate, false),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => (Name::ProxyAuthenticate, true),
            _ => return Err(Refused::NoChallenge),
        };
        let mut taken = Err(Refused::Unsupported);
        let mut realms: Vec<String> = Vec::new();
        let offered: Vec<_> = response.headers.all(header).filter_map(usable).collect();
        for (challenge, _) in &offered {
            if realms.contains(&challenge.realm) || realms.len() >= MAX_CHALLENGES {
                continue;
            }
            realms.push(challenge.realm.clone());
            // RFC 8760 §2.4: the first that we can do; but no weak one where a strong one is offered, too.
            let same_realm = || offered.iter().filter(|(other, _)| other.realm == challenge.realm);
            let best =
                same_realm().find(|(_, algorithm)| algorithm.is_sha256()).or_else(|| same_realm().next());
            let Some((challenge, algorithm)) = best else { continue };
            let room = self.challenges.len() < MAX_CHALLENGES;
            match self.challenges.iter_mut().find(|known| known.is_for(from_proxy, &challenge.realm)) {
                Some(known) => known.renew(challenge, *algorithm)?,
                None if room => {
                    let (challenge, algorithm) = (challenge.clone(), *algorithm);
                    self.challenges.push(Known {
                        from_proxy,
                        challenge,
                        algorithm,
                        count: 0,
                        accepted: false,
                        stale: 0,
                    });
                }
                None => continue,
            }
            taken = Ok(());
        }
        taken
    }

    /// Call after a success: a later challenge then only says that the nonce is used up, not that the password is wrong.
    pub fn handle_success(&mut self) {
        for known in &mut self.challenges {
            known.accepted = true;
        }
    }

    /// Adds Authorization and Proxy-Authorization for all known challenges. `cnonce` is unguessable text.
    pub fn authorize(&mut self, request: &mut Request, cnonce: &str) {
        request.headers.remove(Name::Authorization);
        request.headers.remove(Name::ProxyAuthorization);
        let uri = request.uri.to_string();
        for known in &mut self.challenges {
            known.count = known.count.saturating_add(1);
            let name = if known.from_proxy { Name::ProxyAuthorization } else { Name::Authorization };
            let who = (self.user.as_str(), self.password.expose());
            let answer =
                answer(&known.challenge, known.algorithm, &request.method, &uri, who, cnonce, known.count);
            request.headers.push(name, answer.to_string());
        }
    }
}

/// The answer to one challenge. `count` is 1 for the first use of its nonce.
#[must_use]
pub fn answer(
    challenge: &WwwAuthenticate,
    algorithm: Algorithm,
    method: &Method,
    uri: &str,
    (user, password): (&str, &str),
    cnonce: &str,
    count: u32,
) -> Authorization {
    let qop = (!challenge.qop.is_empty()).then_some(("auth", count));
    let inputs = Inputs { algorithm, nonce: &challenge.nonce, cnonce, qop, method: method.as_str(), uri };
    let key = digest::key(algorithm, user, &challenge.realm, password);
    let with_cnonce = qop.is_some() || algorithm.is_session();
    Authorization {
        username: user.into(),
        realm: challenge.realm.clone(),
        nonce: challenge.nonce.clone(),
        uri: uri.into(),
        response: digest::response(&key, &inputs),
        algorithm: challenge.algorithm.clone(),
        cnonce: with_cnonce.then(|| cnonce.into()),
        qop: qop.map(|(qop, _)| qop.into()),
        nc: qop.map(|(_, count)| count),
        opaque: challenge.opaque.clone(),
    }
}

fn usable(header: &str) -> Option<(WwwAuthenticate, Algorithm)> {
    let challenge = WwwAuthenticate::parse(header)?;
    let algorithm = Algorithm::parse(challenge.algorithm.as_deref())?;
    let qop = challenge.qop.is_empty() || challenge.qop.iter().any(|qop| qop.eq_ignore_ascii_case("auth"));
    qop.then_some((challenge, algorithm))
}

/// Nonces that may go stale in a row before we give up.
const MAX_STALE: u8 = 2;
/// Realms that one usage answers to: a registrar and a few proxies.
const MAX_CHALLENGES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::uri::Uri;

    fn challenged(status: StatusCode, headers: &[&str]) -> Response {
        let mut response = Response::new(status);
        let proxy = status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        for header in headers {
            response
                .headers
                .push(if proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate }, *header);
        }
        response
    }

    fn authorized(auth: &mut ClientAuth) -> Vec<Authorization> {
        let mut request = Request::new(Method::Register, Uri::parse("sip:example.com").unwrap());
        auth.authorize(&mut request, "cnonce");
        [Name::Authorization, Name::ProxyAuthorization]
            .into_iter()
            .flat_map(|name| request.headers.all(name).filter_map(Authorization::parse).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn the_strongest_known_algorithm_is_answered_and_the_count_rises() {
        let mut auth = ClientAuth::new("alice", "secret");
        let response = challenged(
            StatusCode::UNAUTHORIZED,
            &[
                "Digest realm=\"r\", nonce=\"0\", algorithm=SHA-512-256, qop=\"auth\"",
                "Digest realm=\"r\", nonce=\"1\", algorithm=MD5, qop=\"auth\"",
                "Digest realm=\"r\", nonce=\"2\", algorithm=SHA-256, qop=\"auth-int,auth\"",
            ],
        );
        assert_eq!(auth.handle_challenge(&response), Ok(()));
        let first = authorized(&mut auth);
        assert_eq!(first.len(), 1);
        assert_eq!((first[0].nonce.as_str(), first[0].nc), ("2", Some(1)));
        assert_eq!(authorized(&mut auth)[0].nc, Some(2));
    }

    #[test]
    fn registrar_and_proxy_are_answered_side_by_side() {
        let mut auth = ClientAuth::new("alice", "secret");
        let www = challenged(StatusCode::UNAUTHORIZED, &["Digest realm=\"r\", nonce=\"1\""]);
        let proxy =
            challenged(StatusCode::PROXY_AUTHENTICATION_REQUIRED, &["Digest realm=\"r\", nonce=\"2\""]);
        assert_eq!(auth.handle_challenge(&proxy), Ok(()));
        authorized(&mut auth);
        assert_eq!(auth.handle_challenge(&www), Ok(()));
        let answers = authorized(&mut auth);
        assert_eq!(answers.iter().map(|answer| answer.nonce.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(answers[0].qop, None);
    }

    #[test]
    fn a_wrong_password_is_tried_once_and_a_stale_nonce_a_few_times() {
        let mut auth = ClientAuth::new("alice", "secret");
        let challenge = |nonce: u32, stale: &str| {
            challenged(StatusCode::UNAUTHORIZED, &[&format!("Digest realm=\"r\", nonce=\"{nonce}\"{stale}")])
        };
        assert_eq!(auth.handle_challenge(&challenge(1, "")), Ok(()));
        authorized(&mut auth);
        assert_eq!(auth.handle_challenge(&challenge(2, "")), Err(Refused::WrongPassword));
        for nonce in [3, 4] {
            assert_eq!(auth.handle_challenge(&challenge(nonce, ", stale=true")), Ok(()));
            authorized(&mut auth);
        }
        assert_eq!(auth.handle_challenge(&challenge(5, ", stale=true")), Err(Refused::WrongPassword));
        auth.handle_success();
        assert_eq!(auth.handle_challenge(&challenge(6, "")), Ok(()));
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        let mut auth = ClientAuth::new("alice", "secret");
        let basic = challenged(StatusCode::UNAUTHORIZED, &["Basic realm=\"r\""]);
        assert_eq!(auth.handle_challenge(&basic), Err(Refused::Unsupported));
        assert_eq!(auth.handle_challenge(&challenged(StatusCode::FORBIDDEN, &[])), Err(Refused::NoChallenge));
    }
}
