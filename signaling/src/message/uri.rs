//! SIP, SIPS, TEL and unknown URIs (RFC 3261 §19.1, RFC 3966).

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use super::{params, params::Params, scan};

/// Kind of a URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`; the number is in [`Uri::user`] and there is no host.
    Tel,
    /// Any other; all of it behind the colon is in [`Uri::user`] and there is no host.
    Other(String),
}

impl Scheme {
    /// Without the colon.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }
}

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name as written; empty in a URI that has no host.
    Name(String),
    /// An address, printed in brackets if it is of version 6.
    Ip(IpAddr),
}

/// A URI, escapes kept as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    /// What kind.
    pub scheme: Scheme,
    /// Before the `@`, escaped; the number of `tel:`; the whole rest of an unknown scheme.
    pub user: Option<String>,
    /// Behind the colon of the user part.
    pub password: Option<String>,
    /// Where.
    pub host: Host,
    /// Port, if written.
    pub port: Option<u16>,
    /// `;transport=tcp` and the like.
    pub params: Params,
    /// What follows `?`, as written.
    pub headers: Option<String>,
}

/// Why a text is no URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// No scheme and colon at the start.
    Scheme,
    /// A character that may not stand in the user part.
    User,
    /// Neither a name nor an address.
    Host,
    /// No number up to 65,535.
    Port,
    /// A malformed parameter.
    Params,
    /// Malformed headers.
    Headers,
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a URI begins with its scheme and a colon",
            Self::User => "malformed user part of a URI",
            Self::Host => "neither a host name nor an address",
            Self::Port => "a port is a number up to 65535",
            Self::Params => "malformed URI parameter",
            Self::Headers => "malformed URI headers",
        })
    }
}

impl std::error::Error for UriError {}

impl Uri {
    /// `sip:user@host` with the user escaped as needed.
    #[must_use]
    pub fn sip(user: Option<&str>, host: Host, port: Option<u16>) -> Self {
        Self {
            scheme: Scheme::Sip,
            user: user.map(|user| scan::escape(user, b"&=+$,;?/")),
            password: None,
            host,
            port,
            params: Params::new(),
            headers: None,
        }
    }

    /// `sip:user@address:port`.
    #[must_use]
    pub fn at(user: Option<&str>, address: SocketAddr) -> Self {
        Self::sip(user, Host::Ip(address.ip()), Some(address.port()))
    }

    /// Reads a bare URI, without angle brackets.
    ///
    /// # Errors
    /// Which part of it is malformed.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let parts = Parts::split(text)?;
        Ok(Self {
            scheme: parts.scheme.own(),
            user: parts.user.map(Into::into),
            password: parts.password.map(Into::into),
            host: parts.host.own(),
            port: parts.port,
            params: Params::parse(parts.params).ok_or(UriError::Params)?,
            headers: parts.headers.map(Into::into),
        })
    }

    /// The user part without escapes.
    #[must_use]
    pub fn user_unescaped(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(scan::unescape)
    }

    /// Whether it is `sip:` or `sips:`.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The `transport` parameter.
    #[must_use]
    pub fn transport(&self) -> Option<&str> {
        self.params.get("transport")
    }

    /// Whether a route through it is loose (RFC 3261 §19.1.1 `lr`).
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.params.has("lr")
    }

    /// RFC 3261 §19.1.4: whether both name the same resource.
    #[must_use]
    pub fn equivalent(&self, other: &Self) -> bool {
        if !self.is_sip() || !other.is_sip() {
            return self.to_string().eq_ignore_ascii_case(&other.to_string());
        }
        self.scheme == other.scheme
            && self.user_unescaped() == other.user_unescaped()
            && self.password.as_deref().map(scan::unescape) == other.password.as_deref().map(scan::unescape)
            && self.host.equivalent(&other.host)
            && self.port == other.port
            && params_agree(&self.params, &other.params)
            && params_agree(&other.params, &self.params)
            && same_headers(self.headers.as_deref(), other.headers.as_deref())
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            if self.is_sip() {
                f.write_str("@")?;
            }
        }
        if self.is_sip() {
            write!(f, "{}", self.host)?;
            if let Some(port) = self.port {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "{}", self.params)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

impl Host {
    /// A name, an IPv4 address or an IPv6 address with or without brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        HostRef::parse(text).or_else(|| text.parse().ok().map(HostRef::Ip)).map(HostRef::own)
    }

    /// The address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }

    /// Same address, or same name without regard to case.
    #[must_use]
    pub fn equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Name(_), Self::Ip(_)) | (Self::Ip(_), Self::Name(_)) => false,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// A URI taken apart without copying.
pub(crate) struct Parts<'a> {
    scheme: SchemeRef<'a>,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: HostRef<'a>,
    port: Option<u16>,
    params: &'a str,
    headers: Option<&'a str>,
}

enum SchemeRef<'a> {
    Sip,
    Sips,
    Tel,
    Other(&'a str),
}

impl SchemeRef<'_> {
    fn own(self) -> Scheme {
        match self {
            Self::Sip => Scheme::Sip,
            Self::Sips => Scheme::Sips,
            Self::Tel => Scheme::Tel,
            Self::Other(name) => Scheme::Other(name.into()),
        }
    }
}

/// A host that is not copied yet.
#[derive(Clone, Copy)]
pub(crate) enum HostRef<'a> {
    Name(&'a str),
    Ip(IpAddr),
}

impl<'a> HostRef<'a> {
    pub(crate) fn own(self) -> Host {
        match self {
            Self::Name(name) => Host::Name(name.into()),
            Self::Ip(ip) => Host::Ip(ip),
        }
    }

    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return Some(Self::Ip(v6(inner.strip_suffix(']')?)?.into()));
        }
        if text.as_bytes().first()?.is_ascii_digit()
            && let Ok(ip) = text.parse::<Ipv4Addr>()
        {
            return Some(Self::Ip(ip.into()));
        }
        // Underscores are no host name characters but common in container names.
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)).then_some(Self::Name(text))
    }

    /// `host[:port]`, all of the text.
    pub(crate) fn with_port(text: &'a str) -> Result<(Self, Option<u16>), UriError> {
        let host_end = if text.starts_with('[') {
            memchr::memchr(b']', text.as_bytes()).ok_or(UriError::Host)? + 1
        } else {
            memchr::memchr(b':', text.as_bytes()).unwrap_or(text.len())
        };
        let host = Self::parse(scan::trim(&text[..host_end])).ok_or(UriError::Host)?;
        let rest = scan::trim(&text[host_end..]);
        if rest.is_empty() {
            return Ok((host, None));
        }
        let digits = scan::trim(rest.strip_prefix(':').ok_or(UriError::Host)?);
        let port = scan::number(digits).and_then(|port| u16::try_from(port).ok()).ok_or(UriError::Port)?;
        Ok((host, Some(port)))
    }
}

impl<'a> Parts<'a> {
    /// Checks everything, copies nothing.
    pub(crate) fn split(text: &'a str) -> Result<Self, UriError> {
        let colon = memchr::memchr(b':', text.as_bytes()).ok_or(UriError::Scheme)?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        if rest.is_empty()
            || rest.bytes().any(|b| b <= b' ' || b == b'<' || b == b'>' || b == b'"' || b == 0x7f)
        {
            return Err(UriError::User);
        }
        let scheme = if scheme.eq_ignore_ascii_case("sip") {
            SchemeRef::Sip
        } else if scheme.eq_ignore_ascii_case("sips") {
            SchemeRef::Sips
        } else if scheme.eq_ignore_ascii_case("tel") {
            return Self::tel(rest);
        } else {
            return Self::other(scheme, rest);
        };
        let (user, password, rest) = match memchr::memchr(b'@', rest.as_bytes()) {
            None => (None, None, rest),
            Some(0) => return Err(UriError::User),
            Some(at) => match memchr::memchr(b':', &rest.as_bytes()[..at]) {
                None => (Some(&rest[..at]), None, &rest[at + 1..]),
                Some(0) => return Err(UriError::User),
                Some(colon) => (Some(&rest[..colon]), Some(&rest[colon + 1..at]), &rest[at + 1..]),
            },
        };
        let (rest, headers) = match memchr::memchr(b'?', rest.as_bytes()) {
            None => (rest, None),
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        };
        if headers.is_some_and(str::is_empty) {
            return Err(UriError::Headers);
        }
        let host_end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        let (host, port) = HostRef::with_port(&rest[..host_end])?;
        let params = &rest[host_end..];
        if !params::are_valid(params) {
            return Err(UriError::Params);
        }
        Ok(Self { scheme, user, password, host, port, params, headers })
    }

    // RFC 3966 §3.
    fn tel(rest: &'a str) -> Result<Self, UriError> {
        let end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        let number = &rest[..end];
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_hexdigit() || b"+-.()*#".contains(&b)) {
            return Err(UriError::User);
        }
        if !params::are_valid(&rest[end..]) {
            return Err(UriError::Params);
        }
        Ok(Self { params: &rest[end..], ..Self::opaque(SchemeRef::Tel, number) })
    }

    fn other(scheme: &'a str, rest: &'a str) -> Result<Self, UriError> {
        let mut bytes = scheme.bytes();
        let valid = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if valid { Ok(Self::opaque(SchemeRef::Other(scheme), rest)) } else { Err(UriError::Scheme) }
    }

    fn opaque(scheme: SchemeRef<'a>, rest: &'a str) -> Self {
        let host = HostRef::Name("");
        Self { scheme, user: Some(rest), password: None, host, port: None, params: "", headers: None }
    }
}

fn v6(text: &str) -> Option<Ipv6Addr> {
    // RFC 5118 §4.10: the grammar of RFC 3261 lets `:::` be written before an embedded IPv4 address.
    text.parse().ok().or_else(|| text.contains(":::").then(|| text.replacen(":::", "::", 1).parse().ok())?)
}

/// One direction of the parameter rules of RFC 3261 §19.1.4.
fn params_agree(a: &Params, b: &Params) -> bool {
    a.iter().all(|(name, value)| match b.get(name) {
        Some(other) => scan::unescape(value.unwrap_or_default()).eq_ignore_ascii_case(&scan::unescape(other)),
        None => {
            !["user", "ttl", "method", "maddr", "transport"].iter().any(|own| own.eq_ignore_ascii_case(name))
        }
    })
}

fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    let sorted = |headers: Option<&str>| {
        let mut list: Vec<String> = headers
            .unwrap_or_default()
            .split('&')
            .map(|one| scan::unescape(one).to_ascii_lowercase())
            .collect();
        list.sort_unstable();
        list
    };
    a == b || sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_part_is_read_and_printed_again() {
        for text in [
            "sip:alice@example.com",
            "sip:alice:secret@example.com:5080;transport=tcp;lr?Subject=x&To=y",
            "sips:[2001:db8::1]:5061;transport=tls",
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            "sip:a;b=c?d@192.0.2.1",
            "tel:+358-555-1234567;postd=pp22",
            "urn:service:sos",
            "soap.beep://192.0.2.103:3002",
            "sip:%61%40@example.com",
            "sip:example.com",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
        let full = uri("sip:alice:secret@example.com:5080;transport=tcp;lr?Subject=x");
        assert_eq!(full.user.as_deref(), Some("alice"));
        assert_eq!(full.password.as_deref(), Some("secret"));
        assert_eq!(full.host, Host::Name("example.com".into()));
        assert_eq!(full.port, Some(5080));
        assert_eq!(full.transport(), Some("tcp"));
        assert!(full.is_loose());
        assert_eq!(full.headers.as_deref(), Some("Subject=x"));
        assert_eq!(uri("sip:a@[2001:db8:::192.0.2.1]").host.to_string(), "[2001:db8::c000:201]");
    }

    #[test]
    fn malformed_uris_are_refused_by_part() {
        for (text, error) in [
            ("alice", UriError::Scheme),
            ("1:2", UriError::Scheme),
            ("sip:", UriError::User),
            ("sip:@example.com", UriError::User),
            ("sip:al ice@example.com", UriError::User),
            ("sip:a@", UriError::Host),
            ("sip:a@b@c", UriError::Host),
            ("sip:2001:db8::10", UriError::Port),
            ("sip:a@[::1", UriError::Host),
            ("sip:a@b:", UriError::Port),
            ("sip:a@b:65536", UriError::Port),
            ("sip:a@b;=c", UriError::Params),
            ("sip:a@b?", UriError::Headers),
            ("tel:", UriError::User),
            ("tel:x;y", UriError::User),
        ] {
            assert_eq!(Uri::parse(text).unwrap_err(), error, "{text}");
        }
    }

    // The examples of RFC 3261 §19.1.4.
    #[test]
    fn comparison_follows_the_examples_of_the_rfc() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(uri(a).equivalent(&uri(b)), "{a} {b}");
            assert!(uri(b).equivalent(&uri(a)), "{b} {a}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ] {
            assert!(!uri(a).equivalent(&uri(b)), "{a} {b}");
        }
    }

    #[test]
    fn users_are_escaped_when_built() {
        let uri = Uri::sip(Some("a b@c"), Host::Name("x".into()), None);
        assert_eq!(uri.to_string(), "sip:a%20b%40c@x");
        assert_eq!(uri.user_unescaped().unwrap(), "a b@c");
    }
}
