//! Which keys an offer proposes and an answer takes (RFC 4568 §7, RFC 8643).

use super::{Crypto, Media, SdpError};
use crate::{
    config::Srtp,
    srtp::{KeySource, Keys, MasterKey, Suite},
};

/// What both sides agreed upon, and what we may offer.
#[derive(Debug, Clone)]
pub(super) struct Security {
    policy: Srtp,
    suites: Vec<Suite>,
    source: Option<KeySource>,
    /// `None` before the first answer.
    agreed: Option<Option<Agreed>>,
    /// Keys that were offered and not yet answered.
    proposed: Vec<Crypto>,
}

#[derive(Debug, Clone)]
struct Agreed {
    tag: u32,
    keys: Keys,
}

/// How one `m=` line of an offer would be answered.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    tag: u32,
    keys: Keys,
    source: KeySource,
}

impl Security {
    pub(super) fn new(policy: Srtp, suites: &[Suite]) -> Self {
        Self { policy, suites: suites.to_vec(), source: None, agreed: None, proposed: Vec::new() }
    }

    pub(super) fn set_source(&mut self, source: KeySource) {
        self.source = Some(source);
    }

    /// The keys in use.
    pub(super) fn keys(&self) -> Option<&Keys> {
        self.agreed.as_ref()?.as_ref().map(|agreed| &agreed.keys)
    }

    /// Whether an encrypted `m=` line is to be taken before a plain one.
    pub(super) fn prefers_secure(&self) -> bool {
        self.policy != Srtp::Off
    }

    /// Transport of the first offer.
    pub(super) fn protocol(&self) -> &'static str {
        if self.policy == Srtp::Required { "RTP/SAVP" } else { "RTP/AVP" }
    }

    /// The lines of an offer: the key in use, or one for each suite.
    pub(super) fn propose(&mut self) -> &[Crypto] {
        match &self.agreed {
            // What was agreed stays, so that a refresh of the session changes nothing.
            Some(Some(agreed)) => {
                self.proposed = vec![Crypto { tag: agreed.tag, key: agreed.keys.send.clone() }];
            }
            Some(None) => self.proposed.clear(),
            None if matches!(self.policy, Srtp::Off | Srtp::Accept) => {}
            None if self.proposed.is_empty() => {
                if let Some(source) = &mut self.source {
                    let crypto = |(tag, &suite)| Crypto { tag, key: source.master_key(suite) };
                    self.proposed = (1..).zip(&self.suites).map(crypto).collect();
                }
            }
            None => {}
        }
        &self.proposed
    }

    /// How a line of an offer could be answered; `Ok(None)` without encryption.
    pub(super) fn choose(&self, media: &Media) -> Result<Option<Choice>, SdpError> {
        let taken = self.strongest(media);
        match taken {
            Some(_) => Ok(taken),
            None if media.must_be_secure() || !self.may_be_plain() => Err(SdpError::NoCommonSecurity),
            None => Ok(None),
        }
    }

    fn strongest(&self, media: &Media) -> Option<Choice> {
        if self.policy == Srtp::Off {
            return None;
        }
        let mut source = self.source.clone()?;
        // A key that did not change keeps ours, and with it the numbering of both.
        if let Some(Some(agreed)) = &self.agreed
            && let Some(crypto) = media.cryptos().find(|crypto| crypto.key == agreed.keys.receive)
        {
            return Some(Choice { tag: crypto.tag, keys: agreed.keys.clone(), source });
        }
        let crypto = self
            .suites
            .iter()
            .find_map(|&suite| media.cryptos().find(|crypto| crypto.key.suite() == suite))?;
        // The peer begins afresh, perhaps because it is another one. It cannot know how far our old key has counted.
        let send = source.master_key(crypto.key.suite());
        Some(Choice { tag: crypto.tag, keys: Keys { send, receive: crypto.key }, source })
    }

    /// The line of our answer.
    pub(super) fn accept(&mut self, choice: Option<Choice>) -> Vec<Crypto> {
        self.proposed.clear();
        let Some(Choice { tag, keys, source }) = choice else {
            self.agreed = Some(None);
            return Vec::new();
        };
        let answer = vec![Crypto { tag, key: keys.send.clone() }];
        self.source = Some(source);
        self.agreed = Some(Some(Agreed { tag, keys }));
        answer
    }

    /// Reads the answer to our last offer.
    pub(super) fn answered(&self, media: &Media) -> Result<Option<Keys>, SdpError> {
        let matching = media.cryptos().find_map(|theirs| {
            let same = |ours: &&Crypto| ours.tag == theirs.tag && ours.key.suite() == theirs.key.suite();
            let ours = self.proposed.iter().find(same)?;
            Some(Keys { send: ours.key.clone(), receive: theirs.key })
        });
        match matching {
            Some(keys) => Ok(Some(keys)),
            None if media.must_be_secure() || !self.may_be_plain() => Err(SdpError::NoCommonSecurity),
            None => Ok(None),
        }
    }

    /// Takes an answer over.
    pub(super) fn settle(&mut self, keys: Option<Keys>) {
        let tag_of = |key: &MasterKey| {
            self.proposed.iter().find(|crypto| crypto.key == *key).map_or(1, |crypto| crypto.tag)
        };
        self.agreed = Some(keys.map(|keys| Agreed { tag: tag_of(&keys.send), keys }));
    }

    /// What was encrypted once is never plain again.
    fn may_be_plain(&self) -> bool {
        self.policy != Srtp::Required && self.keys().is_none()
    }
}
