//! What is behind http and https addresses, asked for no more often than its server wishes.

use std::{
    io::Read,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use control::{
    io::Fetch,
    media::io::{AudioFile, Keep, Key, Open, Opened, Recording},
};
use ureq::{
    Agent,
    config::Config,
    http::{HeaderMap, Uri, header},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

/// Limits of downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest file, bytes. Default 200 MB.
    pub bytes: u64,
    /// How long a server may take for the next bytes. Default 10 s.
    pub patience: Duration,
    /// Whether servers in private networks and on this machine may be asked. Default no.
    pub private: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 200 << 20, patience: Duration::from_secs(10), private: false }
    }
}

/// Downloads.
#[derive(Debug, Clone)]
pub struct Web {
    agent: Agent,
    limits: Limits,
}

impl Web {
    /// Within these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let agent = agent(&limits, 0);
        Self { agent, limits }
    }

    fn open(&self, url: &str, known: Option<&str>) -> Result<Opened, String> {
        let mut target: Uri = url.parse().map_err(|_| format!("{url}: not a URL"))?;
        for _ in 0..=REDIRECTS {
            permitted(&target, self.limits.private)?;
            let mut request = self.agent.get(&target);
            match known.and_then(|known| known.split_once(' ')) {
                Some(("etag", value)) => request = request.header(header::IF_NONE_MATCH, value),
                Some(("date", value)) => request = request.header(header::IF_MODIFIED_SINCE, value),
                Some(_) | None => {}
            }
            let response = request.call().map_err(|error| format!("{url}: {error}"))?;
            let keep = keep(response.headers());
            let status = response.status();
            if status == 304 {
                // A 304 need not repeat what it confirms.
                let version = keep.version.or_else(|| known.map(str::to_owned));
                return Ok(Opened::Unchanged(Keep { version, ..keep }));
            }
            if status.is_redirection() {
                let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                target = redirected(&target, location.ok_or(format!("{url}: redirected to nowhere"))?)?;
                continue;
            }
            if status != 200 {
                return Err(format!("{url}: the server says {status}"));
            }
            if response.body().content_length().is_some_and(|length| length > self.limits.bytes) {
                return Err(format!("{url}: longer than {} bytes", self.limits.bytes));
            }
            let hint = target.path().rsplit_once('.').map(|(_, extension)| extension.to_owned());
            let body = response.into_body().into_with_config().limit(self.limits.bytes).reader();
            let audio = AudioFile::from_reader(Shared(body), hint.as_deref().filter(|hint| hint.len() <= 4));
            let audio = audio.map_err(|error| format!("{url}: {error}"))?;
            return Ok(Opened::Audio(Box::new(audio), keep));
        }
        Err(format!("{url}: redirected more than {REDIRECTS} times"))
    }
}

impl Fetch for Web {
    fn recording(&self, url: &str) -> Result<Recording, String> {
        let target: Uri = url.parse().map_err(|_| format!("{url}: not a URL"))?;
        permitted(&target, self.limits.private)?;
        let (web, address) = (self.clone(), url.to_owned());
        let open: Open = Arc::new(move |known| web.open(&address, known));
        let key = Key::of([("url", url.as_bytes())]);
        Ok(Recording { key, name: url.to_owned(), slow: true, store: true, open })
    }
}

/// An HTTP client that reaches public servers only, unless private ones are allowed.
pub(crate) fn agent(limits: &Limits, redirects: u32) -> Agent {
    let config = Config::builder()
        .timeout_resolve(Some(Duration::from_secs(5)))
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_recv_response(Some(limits.patience))
        .timeout_per_read(Some(limits.patience))
        .max_redirects(redirects)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
        .proxy(None)
        .build();
    let resolver = Guard { inner: DefaultResolver::default(), private: limits.private };
    Agent::with_parts(config, DefaultConnector::default(), resolver)
}

/// Looks at every address before it is connected to, so that no name leads inside.
#[derive(Debug)]
struct Guard {
    inner: DefaultResolver,
    private: bool,
}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter().filter(|address: &&SocketAddr| self.private || is_public(address.ip())) {
            allowed.push(*address);
        }
        if allowed.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(allowed) }
    }
}

/// Whether that is an address of the open Internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public(IpAddr::V4(ip)),
            None => {
                let [first, second, ..] = ip.segments();
                // Global unicast, without Teredo, 6to4 and documentation.
                (0x2000..0x4000).contains(&first)
                    && first != 0x2002
                    && !(first == 0x2001 && (second == 0 || second == 0x0DB8))
            }
        },
    }
}

/// Only http and https, and no address of a private network in the URL itself.
fn permitted(target: &Uri, private: bool) -> Result<(), String> {
    if !matches!(target.scheme_str(), Some("http" | "https")) {
        return Err(format!("{target}: only http and https"));
    }
    let host = target.host().ok_or_else(|| format!("{target}: no host"))?;
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) if !private && !is_public(ip) => {
            Err(format!("{target}: addresses of private networks are not allowed"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn redirected(from: &Uri, location: &str) -> Result<Uri, String> {
    let wrong = || format!("{from}: redirected to {location:?}");
    if location.contains("://") {
        let target: Uri = location.parse().map_err(|_| wrong())?;
        // What was asked for securely is not fetched in the clear.
        let downgraded = from.scheme_str() == Some("https") && target.scheme_str() != Some("https");
        return if downgraded { Err(wrong()) } else { Ok(target) };
    }
    let (scheme, authority) = (from.scheme_str().unwrap_or("http"), from.authority().ok_or_else(wrong)?);
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    format!("{scheme}://{authority}{path}").parse().map_err(|_| wrong())
}

/// How long an answer stays true (RFC 9111 §4.2, the part that servers of recordings use).
fn keep(headers: &HeaderMap) -> Keep {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let control = text(header::CACHE_CONTROL).unwrap_or_default().to_ascii_lowercase();
    let directive = |name: &str| control.split(',').any(|directive| directive.trim() == name);
    let age =
        control.split(',').find_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok());
    let version = match (text(header::ETAG), text(header::LAST_MODIFIED)) {
        (Some(etag), _) => Some(format!("etag {etag}")),
        (None, Some(date)) => Some(format!("date {date}")),
        (None, None) => None,
    };
    let fresh = if directive("no-cache") { 0 } else { age.unwrap_or(UNSPECIFIED) };
    Keep { never: directive("no-store"), fresh: Some(Duration::from_secs(fresh.min(LONGEST))), version }
}

/// A body is read by one thread at a time.
struct Shared<R>(R);

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

const REDIRECTS: usize = 5;
/// How long a recording is fresh whose server does not say so, s.
const UNSPECIFIED: u64 = 60;
/// A year, as long as any server may say, s.
const LONGEST: u64 = 31_536_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_and_other_schemes_are_refused() {
        let web = Web::new(Limits::default());
        for url in [
            "file:///etc/passwd",
            "ftp://example.com/a.wav",
            "http://127.0.0.1/a.wav",
            "http://[::1]/a.wav",
            "http://[::ffff:10.0.0.1]/a.wav",
            "http://169.254.169.254/latest/meta-data",
            "http://192.168.1.1:8080/a.wav",
            "http://100.64.0.1/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "no url",
        ] {
            assert!(web.recording(url).is_err(), "{url}");
        }
        assert!(web.recording("https://example.com/a.mp3").is_ok());
        assert!(
            Web::new(Limits { private: true, ..Limits::default() }).recording("http://10.0.0.1/a").is_ok()
        );
        // A name is looked at when it is resolved.
        assert!(web.open("http://localhost:1/a.wav", None).is_err());
    }

    #[test]
    fn redirects_stay_within_reason() {
        let from: Uri = "https://example.com/a/b.wav".parse().unwrap();
        let to = |location: &str| redirected(&from, location).map(|uri| uri.to_string());
        assert_eq!(to("c.wav"), Ok("https://example.com/a/c.wav".into()));
        assert_eq!(to("/c.wav"), Ok("https://example.com/c.wav".into()));
        assert_eq!(to("https://example.org/"), Ok("https://example.org/".into()));
        assert!(to("http://example.com/c.wav").is_err());
    }

    #[test]
    fn servers_say_how_long_an_answer_is_true() {
        let headers = |pairs: &[(header::HeaderName, &str)]| {
            pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        let kept = keep(&headers(&[(header::CACHE_CONTROL, "public, max-age=300"), (header::ETAG, "\"x\"")]));
        assert_eq!((kept.never, kept.fresh), (false, Some(Duration::from_secs(300))));
        assert_eq!(kept.version.as_deref(), Some("etag \"x\""));
        assert!(keep(&headers(&[(header::CACHE_CONTROL, "no-store")])).never);
        let kept = keep(&headers(&[(header::CACHE_CONTROL, "no-cache, max-age=9")]));
        assert_eq!(kept.fresh, Some(Duration::ZERO));
    }
}
