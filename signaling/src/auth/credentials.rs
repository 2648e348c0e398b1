//! Who may come in, and what we know of their passwords.

use std::fmt;

use super::digest::{self, Algorithm};

/// A user of ours. The password itself is not kept, only what digest authentication needs of it, which is as good as
/// the password for this realm: treat it as a secret.
#[derive(Clone)]
pub struct User {
    /// User part of the address of record and digest username.
    pub name: String,
    realm: String,
    secret: Secret,
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl User {
    /// A user of this realm, which must be the realm of the endpoint.
    #[must_use]
    pub fn new(name: &str, realm: &str, password: &str) -> Self {
        let md5 = digest::key(Algorithm::Md5, name, realm, password);
        let sha256 = digest::key(Algorithm::Sha256, name, realm, password);
        Self { name: name.into(), realm: realm.into(), secret: Secret(md5 + &sha256) }
    }

    /// The realm the password was hashed for.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    pub(super) fn key(&self, algorithm: Algorithm) -> &str {
        let (md5, sha256) = self.secret.0.split_at(MD5_DIGITS);
        if algorithm.is_sha256() { sha256 } else { md5 }
    }
}

impl Secret {
    /// Hides a text from logs.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Length of an MD5 in hexadecimal digits.
const MD5_DIGITS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_password_nor_keys_are_printed() {
        let user = User::new("alice", "offhook", "wonderland");
        let printed = format!("{user:?} {:?}", Secret::new("wonderland"));
        assert!(printed.contains("alice"));
        assert!(!printed.contains("wonderland"));
        assert!(!printed.contains(user.key(Algorithm::Md5)));
        assert_eq!(user.key(Algorithm::Sha256).len(), 64);
    }
}
