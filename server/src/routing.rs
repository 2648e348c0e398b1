//! From the dialled user to what answers: the routes of the configuration in order, then the registered users.

use std::{sync::Arc, time::Duration};

use control::{
    Source,
    media::{Srtp, dsp::tone_script::ToneScript},
    signaling::{NameAddr, StatusCode, Uri},
};
use regex::{Captures, Regex};

/// One `[[route]]`.
#[derive(Debug, Clone)]
pub struct Route {
    pattern: Regex,
    application: Application,
}

/// What a route runs.
#[derive(Debug, Clone)]
pub enum Application {
    /// The caller hears itself.
    Echo,
    /// The caller hears recordings or speech, then is hung up.
    Play {
        /// One after the other.
        sources: Vec<Source>,
        /// How often; `None` until the caller hangs up.
        times: Option<u32>,
    },
    /// The caller is connected to another party.
    Dial {
        /// `sip:USER@HOST` or `user:NAME`.
        target: Template,
        /// The calling party shown; the caller itself where `None`.
        from: Option<Template>,
        /// How long it may ring.
        ring_timeout: Option<Duration>,
        /// Whether its media is encrypted; as configured for all where `None`.
        srtp: Option<Srtp>,
        /// Whether to find out if a human answers.
        amd: bool,
    },
    /// The caller hears a tone, and is hung up when it ends.
    Tone {
        /// The tone.
        script: Arc<ToneScript>,
        /// Whether the call is answered for it.
        answer: bool,
    },
    /// The caller hears all others who dialled the same.
    Conference {
        /// How many may be in it; any number where `None`.
        limit: Option<usize>,
    },
    /// The caller is refused.
    Reject(StatusCode),
}

/// Text with `$1`, `${name}` and `$$` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Capture(String),
}

/// What to do with one caller: an [`Application`] with the captures filled in.
#[derive(Debug, Clone)]
pub enum Task {
    /// See [`Application::Echo`].
    Echo,
    /// See [`Application::Play`].
    Play {
        /// One after the other.
        sources: Vec<Source>,
        /// How often; `None` until the caller hangs up.
        times: Option<u32>,
    },
    /// See [`Application::Dial`].
    Dial(Box<Call>),
    /// See [`Application::Conference`].
    Conference {
        /// What was dialled.
        name: String,
        /// How many may be in it.
        limit: Option<usize>,
    },
    /// See [`Application::Tone`].
    Tone {
        /// The tone.
        script: Arc<ToneScript>,
        /// Whether the call is answered for it.
        answer: bool,
    },
    /// See [`Application::Reject`].
    Reject(StatusCode),
}

/// Whom to call, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whom.
    pub party: Party,
    /// The calling party shown; the caller itself where `None`.
    pub from: Option<NameAddr>,
    /// How long it may ring; the switchboard's default where `None`.
    pub ring_timeout: Option<Duration>,
    /// Whether its media is encrypted; as configured for all where `None`.
    pub srtp: Option<Srtp>,
    /// Whether to find out if a human answers.
    pub amd: bool,
}

/// Somebody who can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// Anyone with a SIP URI.
    Uri(Uri),
    /// All registered contacts of one of our users.
    User(String),
}

/// Finds the task of a caller.
#[derive(Debug, Clone, Default)]
pub struct Router {
    routes: Vec<Route>,
}

impl Router {
    /// The first matching route wins.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        Self { routes }
    }

    /// What to do with a caller who dialled `user`; `is_user` tells who may register here.
    ///
    /// Routes come before users, so that a route can take a user's calls. Who matches neither is not found.
    #[must_use]
    pub fn task(&self, user: &str, is_user: impl FnOnce(&str) -> bool) -> Task {
        for route in &self.routes {
            if let Some(captures) = route.pattern.captures(user) {
                return route.application.task(&captures);
            }
        }
        match is_user(user) {
            true => Task::Dial(Box::new(Call {
                party: Party::User(user.to_owned()),
                from: None,
                ring_timeout: None,
                srtp: None,
                amd: false,
            })),
            false => Task::Reject(StatusCode::NOT_FOUND),
        }
    }
}

impl Route {
    /// A route for users that match as a whole.
    #[must_use]
    pub fn new(pattern: Regex, application: Application) -> Self {
        Self { pattern, application }
    }
}

impl Route {
    /// What its callers hear, if that is known before they call.
    #[must_use]
    pub fn sources(&self) -> Option<&[Source]> {
        match &self.application {
            Application::Play { sources, .. } => Some(sources),
            Application::Echo
            | Application::Dial { .. }
            | Application::Conference { .. }
            | Application::Tone { .. }
            | Application::Reject(_) => None,
        }
    }
}

impl Application {
    fn task(&self, captures: &Captures<'_>) -> Task {
        match self {
            Self::Echo => Task::Echo,
            Self::Play { sources, times } => Task::Play { sources: sources.clone(), times: *times },
            Self::Conference { limit } => Task::Conference { name: captures[0].to_owned(), limit: *limit },
            Self::Tone { script, answer } => Task::Tone { script: Arc::clone(script), answer: *answer },
            Self::Reject(code) => Task::Reject(*code),
            Self::Dial { target, from, ring_timeout, srtp, amd } => {
                let from = match from.as_ref().map(|from| calling_party(&from.expand(captures))) {
                    None => None,
                    Some(Ok(from)) => Some(from),
                    Some(Err(_)) => return Task::Reject(StatusCode::NOT_FOUND),
                };
                match party(target, captures) {
                    Some(party) => {
                        let (ring_timeout, srtp) = (*ring_timeout, *srtp);
                        Task::Dial(Box::new(Call { party, from, ring_timeout, srtp, amd: *amd }))
                    }
                    None => Task::Reject(StatusCode::NOT_FOUND),
                }
            }
        }
    }
}

impl Template {
    /// Reads a template whose captures `pattern` has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, pattern: &Regex) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            let (part, behind) = placeholder(&rest[at + 1..])?;
            if let Part::Capture(name) = &part
                && !has_capture(pattern, name)
            {
                return Err(format!("the expression of `to` captures no ${name}"));
            }
            parts.push(part);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Fills the captures in. Whatever they hold stays inside the part of the URI it is put in.
    #[must_use]
    pub fn expand(&self, captures: &Captures<'_>) -> String {
        self.fill(|name| {
            let found = match name.parse() {
                Ok(number) => captures.get(number),
                Err(_) => captures.name(name),
            };
            escape(found.map_or("", |found| found.as_str()))
        })
    }

    /// Fills every capture with a digit, to see whether the result is well-formed.
    #[must_use]
    pub fn sample(&self) -> String {
        self.fill(|_| "1".into())
    }

    fn fill(&self, value: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Capture(name) => text.push_str(&value(name)),
            }
        }
        text
    }
}

/// Compiles the anchored expression of a route.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<Regex, String> {
    // Compiled alone first, so that the message shows what the user wrote and `)(` is refused.
    Regex::new(text).and_then(|_| Regex::new(&format!(r"\A(?:{text})\z"))).map_err(|error| {
        let text = error.to_string();
        text.lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned()
    })
}

/// Reads `sip:USER@HOST` or `user:NAME`.
///
/// # Errors
/// What is wrong with it.
pub fn called_party(text: &str) -> Result<Party, String> {
    if let Some(name) = text.strip_prefix("user:") {
        return match name.is_empty() {
            true => Err("the name is missing".into()),
            false => Ok(Party::User(name.to_owned())),
        };
    }
    let uri = Uri::parse(text).map_err(|error| error.to_string())?;
    match uri.is_sip() {
        true => Ok(Party::Uri(uri)),
        false => Err(format!("{}: cannot be called", uri.scheme.as_str())),
    }
}

/// Reads a URI, or a name and a URI in angle brackets.
///
/// # Errors
/// What is wrong with it.
pub fn calling_party(text: &str) -> Result<NameAddr, String> {
    NameAddr::parse(text).map_err(|error| error.to_string())
}

fn party(target: &Template, captures: &Captures<'_>) -> Option<Party> {
    match called_party(&target.expand(captures)).ok()? {
        Party::User(name) => Some(Party::User(percent_decoded(&name))),
        uri @ Party::Uri(_) => Some(uri),
    }
}

fn placeholder(text: &str) -> Result<(Part, &str), String> {
    if let Some(behind) = text.strip_prefix('$') {
        return Ok((Part::Text("$".into()), behind));
    }
    if let Some(inner) = text.strip_prefix('{') {
        let (name, behind) = inner.split_once('}').ok_or("the bracket of ${ is not closed")?;
        return match name.is_empty() {
            true => Err("${} names no capture".into()),
            false => Ok((Part::Capture(name.to_owned()), behind)),
        };
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        0 => Err("a capture is written $1 or ${name}, a dollar sign $$".into()),
        _ => Ok((Part::Capture(text[..digits].to_owned()), &text[digits..])),
    }
}

fn has_capture(pattern: &Regex, name: &str) -> bool {
    match name.parse::<usize>() {
        Ok(number) => number < pattern.captures_len(),
        Err(_) => pattern.capture_names().flatten().any(|known| known == name),
    }
}

/// Escapes all but digits, letters and marks (RFC 3261 §25.1 `unreserved`) and `+`, so that a dialled `@`, `;` or `?`
/// cannot lead the call elsewhere.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' | b'+' => {
                out.push(char::from(byte))
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The name behind [`escape`].
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
