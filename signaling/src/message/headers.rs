//! The ordered list of headers of a message.

use std::{fmt, ops::Range};

use bytes::Bytes;

use super::{
    error::HeaderError,
    header::{cseq::CSeq, reason::Reason, via::Via},
    name::Name,
    name_addr,
    name_addr::NameAddr,
    scan,
};

/// Headers in the order of the message. Received values are slices of the datagram; the rest is owned.
#[derive(Clone, Default)]
pub struct Headers {
    /// What the ranges of the entries point into.
    received: Bytes,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    name: Label,
    value: Text,
}

#[derive(Clone)]
enum Label {
    Known(Name<'static>),
    Other(Text),
}

#[derive(Clone)]
pub(super) enum Text {
    Received { start: u32, end: u32 },
    Owned(Box<str>),
}

impl Text {
    pub(super) fn received(range: Range<usize>) -> Option<Self> {
        Some(Self::Received { start: range.start.try_into().ok()?, end: range.end.try_into().ok()? })
    }

    fn as_str<'a>(&'a self, received: &'a [u8]) -> &'a str {
        match self {
            // The parser keeps only ranges of valid UTF-8.
            Self::Received { start, end } => received
                .get(*start as usize..*end as usize)
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .unwrap_or_default(),
            Self::Owned(text) => text,
        }
    }
}

impl Headers {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { received: Bytes::new(), entries: Vec::new() }
    }

    pub(super) fn over(received: Bytes) -> Self {
        Self { received, entries: Vec::with_capacity(TYPICAL) }
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn get(&self, name: Name<'_>) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all headers of this name, one per line of the message.
    pub fn all(&self, name: Name<'_>) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All elements of a header that is a list, whether they share a line or not (RFC 3261 §7.3.1).
    pub fn values(&self, name: Name<'_>) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(scan::list)
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn has(&self, name: Name<'_>) -> bool {
        self.get(name).is_some()
    }

    /// Whether a list header such as Supported or Allow names this token.
    #[must_use]
    pub fn has_token(&self, name: Name<'_>, token: &str) -> bool {
        self.values(name).any(|own| own.eq_ignore_ascii_case(token))
    }

    /// All in order.
    pub fn iter(&self) -> impl Iterator<Item = (Name<'_>, &str)> {
        self.entries.iter().map(|entry| (self.label(entry), entry.value.as_str(&self.received)))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds one at the end. Line ends in the value become blanks.
    pub fn push(&mut self, name: Name<'_>, value: impl Into<String>) {
        let entry = Entry::new(name, value.into());
        self.entries.push(entry);
    }

    /// Adds one before all others of its name, or before everything if there is none: for Via and Record-Route.
    pub fn insert_first(&mut self, name: Name<'_>, value: impl Into<String>) {
        let at = self.position(name).unwrap_or(0);
        self.entries.insert(at, Entry::new(name, value.into()));
    }

    /// Makes this the only one of its name, in place of the first.
    pub fn set(&mut self, name: Name<'_>, value: impl Into<String>) {
        let entry = Entry::new(name, value.into());
        let Some(at) = self.position(name) else {
            self.entries.push(entry);
            return;
        };
        self.remove(name);
        self.entries.insert(at, entry);
    }

    /// Removes all of this name and says how many there were.
    pub fn remove(&mut self, name: Name<'_>) -> usize {
        let before = self.entries.len();
        let received = std::mem::take(&mut self.received);
        self.entries.retain(|entry| entry.label(&received) != name);
        self.received = received;
        before - self.entries.len()
    }

    /// Adds copies of all headers of this name at the end, line by line.
    pub fn copy(&mut self, name: Name<'_>, from: &Self) {
        for value in from.all(name) {
            self.push(name, value);
        }
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn via(&self) -> Result<Via, HeaderError> {
        let first = self.values(Name::Via).next().ok_or(HeaderError::Missing(Name::Via))?;
        Via::parse(first).ok_or(HeaderError::Malformed(Name::Via))
    }

    /// Replaces the topmost Via and leaves those below as they are.
    pub fn set_via(&mut self, via: &Via) {
        let Some(at) = self.position(Name::Via) else {
            self.insert_first(Name::Via, via.to_string());
            return;
        };
        let line = self.entries[at].value.as_str(&self.received);
        let value = match scan::find_outside(line, b',') {
            Some(comma) => format!("{via},{}", &line[comma + 1..]),
            None => via.to_string(),
        };
        self.entries[at] = Entry::new(Name::Via, value);
    }

    /// Call-ID.
    ///
    /// # Errors
    /// Missing or empty.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        let value = self.get(Name::CallId).ok_or(HeaderError::Missing(Name::CallId))?;
        if value.is_empty() { Err(HeaderError::Malformed(Name::CallId)) } else { Ok(value) }
    }

    /// CSeq.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        let value = self.get(Name::CSeq).ok_or(HeaderError::Missing(Name::CSeq))?;
        CSeq::parse(value).ok_or(HeaderError::Malformed(Name::CSeq))
    }

    /// From.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::From)
    }

    /// To.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::To)
    }

    /// The tag of the From, without copying the rest.
    #[must_use]
    pub fn from_tag(&self) -> Option<&str> {
        self.get(Name::From).and_then(name_addr::tag_of)
    }

    /// The tag of the To, without copying the rest.
    #[must_use]
    pub fn to_tag(&self) -> Option<&str> {
        self.get(Name::To).and_then(name_addr::tag_of)
    }

    /// The first address of any header that has some: Refer-To, Contact, P-Asserted-Identity, …
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn address(&self, name: Name<'static>) -> Result<NameAddr, HeaderError> {
        let value = self.get(name).ok_or(HeaderError::Missing(name))?;
        // From and To are no lists: a comma in their unquoted display name separates nothing.
        let single = matches!(name, Name::From | Name::To);
        let value = if single { value } else { scan::list(value).next().unwrap_or_default() };
        NameAddr::parse(value).map_err(|_| HeaderError::Malformed(name))
    }

    /// All addresses of a list header, in order: Route, Record-Route, Contact, Path. Empty if there is none.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub fn addresses(&self, name: Name<'static>) -> Result<Vec<NameAddr>, HeaderError> {
        self.values(name).map(|one| NameAddr::parse(one).map_err(|_| HeaderError::Malformed(name))).collect()
    }

    /// Route or Record-Route, topmost first.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub fn routes(&self, name: Name<'static>) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses(name)
    }

    /// All contacts; see also [`Headers::contact_is_star`].
    ///
    /// # Errors
    /// When one of them is malformed.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses(Name::Contact)
    }

    /// The first contact: the remote target of a dialog.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn contact(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::Contact)
    }

    /// Whether the contact is `*`, as to remove all bindings (RFC 3261 §10.2.2).
    #[must_use]
    pub fn contact_is_star(&self) -> bool {
        self.values(Name::Contact).any(|value| value == "*")
    }

    /// Max-Forwards; 70 if there is none.
    ///
    /// # Errors
    /// No number up to 255.
    pub fn max_forwards(&self) -> Result<u8, HeaderError> {
        let Some(value) = self.get(Name::MaxForwards) else { return Ok(70) };
        let number = scan::number(value).and_then(|number| u8::try_from(number).ok());
        number.ok_or(HeaderError::Malformed(Name::MaxForwards))
    }

    /// Expires in seconds; `None` if there is none or if it is no number (RFC 3261 §10.2.1.1 lets it be ignored).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.get(Name::Expires).and_then(scan::seconds)
    }

    /// Min-Expires in seconds.
    #[must_use]
    pub fn min_expires(&self) -> Option<u32> {
        self.get(Name::MinExpires).and_then(scan::seconds)
    }

    /// Retry-After in seconds, without its comment and parameters.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.get(Name::RetryAfter)?;
        let digits = value.bytes().take_while(u8::is_ascii_digit).count();
        scan::seconds(&value[..digits])
    }

    /// The first Reason (RFC 3326).
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.values(Name::Reason).find_map(Reason::parse)
    }

    pub(super) fn push_received(&mut self, name: Result<Name<'static>, Text>, value: Text) {
        let name = match name {
            Ok(known) => Label::Known(known),
            Err(other) => Label::Other(other),
        };
        self.entries.push(Entry { name, value });
    }

    /// Continues the last value after a line fold; the fold counts as one blank (RFC 3261 §7.3.1).
    pub(super) fn unfold(&mut self, more: &str) {
        let Some(last) = self.entries.last_mut() else { return };
        let mut value = match std::mem::replace(&mut last.value, Text::Received { start: 0, end: 0 }) {
            Text::Owned(text) => String::from(text),
            received @ Text::Received { .. } => received.as_str(&self.received).to_owned(),
        };
        if !value.is_empty() && !more.is_empty() {
            value.push(' ');
        }
        value.push_str(more);
        last.value = Text::Owned(value.into());
    }

    pub(super) fn last(&self) -> &str {
        self.entries.last().map_or("", |entry| entry.value.as_str(&self.received))
    }

    pub(super) fn drop_last(&mut self) {
        self.entries.pop();
    }

    /// How many bytes the last value has.
    pub(super) fn last_len(&self) -> usize {
        match self.entries.last().map(|entry| &entry.value) {
            Some(Text::Received { start, end }) => (end - start) as usize,
            Some(Text::Owned(text)) => text.len(),
            None => 0,
        }
    }

    pub(super) fn printed_len(&self) -> usize {
        self.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
    }

    fn position(&self, name: Name<'_>) -> Option<usize> {
        self.entries.iter().position(|entry| self.label(entry) == name)
    }

    fn label<'a>(&'a self, entry: &'a Entry) -> Name<'a> {
        entry.label(&self.received)
    }
}

impl Entry {
    fn new(name: Name<'_>, value: String) -> Self {
        let name = match Name::known(name.as_str().as_bytes()) {
            Some(known) => Label::Known(known),
            None => Label::Other(Text::Owned(clean(name.as_str().to_owned()).into())),
        };
        Self { name, value: Text::Owned(clean(value).into()) }
    }

    fn label<'a>(&'a self, received: &'a [u8]) -> Name<'a> {
        match &self.name {
            Label::Known(name) => *name,
            Label::Other(text) => Name::Other(text.as_str(received)),
        }
    }
}

/// Takes out what would let a value start another header.
fn clean(value: String) -> String {
    if value.contains(['\r', '\n', '\0']) {
        let replaced = value.replace(['\r', '\n', '\0'], " ");
        return scan::trim(&replaced).to_owned();
    }
    let trimmed = scan::trim(&value);
    if trimmed.len() == value.len() { value } else { trimmed.to_owned() }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name.as_str(), value))).finish()
    }
}

/// Room for the headers of most messages.
const TYPICAL: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_names_are_found_in_any_case() {
        let mut headers = Headers::new();
        headers.push(Name::Via, "SIP/2.0/UDP a;branch=z9hG4bK1");
        headers.push(Name::from("x-TEST"), "1");
        headers.push(Name::Other("f"), "<sip:a@b>;tag=1");
        headers.insert_first(Name::Via, "SIP/2.0/UDP b;branch=z9hG4bK2");
        headers.insert_first(Name::Route, "<sip:r;lr>");
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str().to_owned()).collect();
        assert_eq!(names, ["Route", "Via", "Via", "x-TEST", "From"]);
        assert_eq!(headers.via().unwrap().branch(), Some("z9hG4bK2"));
        assert_eq!(headers.get(Name::Other("X-Test")), Some("1"));
        headers.set(Name::Via, "SIP/2.0/UDP c");
        assert_eq!(headers.all(Name::Via).collect::<Vec<_>>(), ["SIP/2.0/UDP c"]);
        assert_eq!(headers.remove(Name::Other("X-TEST")), 1);
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn only_the_topmost_via_of_a_shared_line_is_replaced() {
        let mut headers = Headers::new();
        headers.push(Name::Via, "SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b;branch=2");
        let mut via = headers.via().unwrap();
        via.params.set("received", "192.0.2.1");
        headers.set_via(&via);
        let all: Vec<_> = headers.values(Name::Via).collect();
        assert_eq!(all, ["SIP/2.0/UDP a;branch=1;received=192.0.2.1", "SIP/2.0/TCP b;branch=2"]);
    }

    #[test]
    fn a_value_cannot_start_another_header() {
        let mut headers = Headers::new();
        headers.push(Name::Subject, "x\r\nRoute: <sip:evil>");
        assert_eq!(headers.get(Name::Subject), Some("x  Route: <sip:evil>"));
    }

    #[test]
    fn numbers_have_their_limits() {
        let mut headers = Headers::new();
        assert_eq!(headers.max_forwards(), Ok(70));
        headers.set(Name::MaxForwards, "300");
        assert_eq!(headers.max_forwards(), Err(HeaderError::Malformed(Name::MaxForwards)));
        headers.set(Name::Expires, "1000000000000000");
        assert_eq!(headers.expires(), Some(u32::MAX));
        headers.set(Name::RetryAfter, "120 (in a meeting);duration=60");
        assert_eq!(headers.retry_after(), Some(120));
    }
}
