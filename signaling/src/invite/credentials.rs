//! Answers to the challenges that the requests of one call meet.

use crate::{
    auth::ClientAuth,
    endpoint::random::Random,
    message::{Name, Request, Response, header::www_authenticate::WwwAuthenticate},
};

/// Name and password for one call, and who asked for them before there was a dialog.
#[derive(Debug)]
pub(super) struct Credentials {
    auth: ClientAuth,
    realms: Vec<String>,
}

impl Credentials {
    pub(super) fn new(user: String, password: String) -> Self {
        Self { auth: ClientAuth::new(user, password), realms: Vec::new() }
    }

    /// Takes a challenge to our first INVITE; `false` if trying again makes no sense.
    pub(super) fn learn(&mut self, response: &Response) -> bool {
        let agreed = self.auth.handle_challenge(response).is_ok();
        if agreed {
            self.realms.extend(realms(response));
            self.realms.truncate(MAX_REALMS);
        }
        agreed
    }

    /// Takes a challenge inside the dialog. CVE-2021-41158: only those are answered who asked before it was made, so that
    /// a peer cannot collect answers to nonces of its own choice.
    pub(super) fn learn_again(&mut self, response: &Response) -> bool {
        realms(response).all(|realm| self.realms.contains(&realm))
            && self.auth.handle_challenge(response).is_ok()
    }

    /// The last answers were right.
    pub(super) fn succeed(&mut self) {
        self.auth.handle_success();
    }

    /// Adds answers to all known challenges.
    pub(super) fn attach(&mut self, request: &mut Request, random: &mut Random) {
        self.auth.authorize(request, &random.cnonce());
    }
}

fn realms(response: &Response) -> impl Iterator<Item = String> {
    [Name::WwwAuthenticate, Name::ProxyAuthenticate]
        .into_iter()
        .flat_map(|name| response.headers.all(name))
        .filter_map(WwwAuthenticate::parse)
        .map(|challenge| challenge.realm)
}

const MAX_REALMS: usize = 8;
