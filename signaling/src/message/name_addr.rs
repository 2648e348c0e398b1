//! A URI with display name and parameters: From, To, Contact, Route and their like (RFC 3261 §20.10).

use std::{fmt, str::FromStr};

use super::{
    params,
    params::Params,
    scan,
    uri::{Parts, Uri},
};

/// `"Display" <uri>;params`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// Display name without quotes and escapes.
    pub display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Parameters of the header, not of the URI.
    pub params: Params,
}

/// Why a text is no address with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddrError;

impl fmt::Display for NameAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed address")
    }
}

impl std::error::Error for NameAddrError {}

impl NameAddr {
    /// Only a URI.
    #[must_use]
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::new() }
    }

    /// Reads one element, not a list.
    ///
    /// # Errors
    /// When it is malformed, including its URI.
    pub fn parse(text: &str) -> Result<Self, NameAddrError> {
        let pieces = Pieces::split(text).ok_or(NameAddrError)?;
        Ok(Self {
            display: pieces.display.map(|display| scan::unquote(display).into_owned()),
            uri: Uri::parse(pieces.uri).map_err(|_| NameAddrError)?,
            params: Params::parse(pieces.params).ok_or(NameAddrError)?,
        })
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The same with this tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", tag);
        self
    }

    /// The same with this display name.
    #[must_use]
    pub fn with_display(mut self, display: impl Into<String>) -> Self {
        self.display = Some(display.into());
        self
    }

    /// The `expires` parameter of a Contact, seconds. One that is no number counts as 3600 (RFC 3261 §20.10).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").map(|text| scan::seconds(text).unwrap_or(3600))
    }

    /// The preference of a Contact in thousandths; 1000 if it is not written.
    #[must_use]
    pub fn q(&self) -> u16 {
        let Some(text) = self.params.get("q") else { return 1000 };
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let mut thousandths = scan::number(whole).unwrap_or(0).min(1) * 1000;
        for (digit, weight) in rest.bytes().zip([100, 10, 1]) {
            if digit.is_ascii_digit() {
                thousandths += u32::from(digit - b'0') * weight;
            }
        }
        u16::try_from(thousandths.min(1000)).unwrap_or(1000)
    }
}

impl From<Uri> for NameAddr {
    fn from(uri: Uri) -> Self {
        Self::new(uri)
    }
}

impl FromStr for NameAddr {
    type Err = NameAddrError;

    fn from_str(text: &str) -> Result<Self, NameAddrError> {
        Self::parse(text)
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            scan::write_quoted(f, display)?;
            f.write_str(" ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// Whether the text is one well-formed address; copies nothing.
pub(crate) fn is_valid(text: &str) -> bool {
    Pieces::split(text)
        .is_some_and(|pieces| Parts::split(pieces.uri).is_ok() && params::are_valid(pieces.params))
}

/// The tag of an address, without copying.
pub(crate) fn tag_of(text: &str) -> Option<&str> {
    let pieces = Pieces::split(text)?;
    params::read(pieces.params).flatten().find(|(name, _)| name.eq_ignore_ascii_case("tag"))?.1
}

struct Pieces<'a> {
    display: Option<&'a str>,
    uri: &'a str,
    params: &'a str,
}

impl<'a> Pieces<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let text = scan::trim(text);
        let (display, rest) = match scan::quoted_len(text) {
            Some(len) => (Some(&text[..len]), scan::trim(&text[len..])),
            None => {
                // RFC 3261 §20.10: without brackets, parameters belong to the header.
                let Some(open) = memchr::memchr(b'<', text.as_bytes()) else {
                    let end = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
                    let uri = scan::trim(&text[..end]);
                    return (!uri.contains([',', '?'])).then_some(Self {
                        display: None,
                        uri,
                        params: &text[end..],
                    });
                };
                // A display name should be tokens; what phones write unquoted is taken as it is.
                let display = scan::trim(&text[..open]);
                if display.contains(['"', '>']) {
                    return None;
                }
                (Some(display).filter(|display| !display.is_empty()), &text[open..])
            }
        };
        let rest = rest.strip_prefix('<')?;
        let close = memchr::memchr(b'>', rest.as_bytes())?;
        let params = scan::trim(&rest[close + 1..]);
        (params.is_empty() || params.starts_with(';')).then_some(Self {
            display,
            uri: &rest[..close],
            params,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr {
        NameAddr::parse(text).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn all_spellings_are_read() {
        let quoted = read(r#""A. G. \"Bell\"" <sip:bell@example.com;lr> ;tag=a48s"#);
        assert_eq!(quoted.display.as_deref(), Some("A. G. \"Bell\""));
        assert_eq!(quoted.tag(), Some("a48s"));
        assert!(quoted.uri.is_loose());
        assert_eq!(read(&quoted.to_string()), quoted);
        let bare = read("sip:c8oqz84zk7z@privacy.org;tag=hyh8");
        assert_eq!((bare.tag(), bare.uri.params.is_empty()), (Some("hyh8"), true));
        assert_eq!(read("Anonymous Caller <sip:a@b>").display.as_deref(), Some("Anonymous Caller"));
        assert_eq!(read("<sip:a@b>").display, None);
        assert_eq!(read("tel:+123;tag=x").tag(), Some("x"));
        assert_eq!(tag_of("\"x;tag=no\" <sip:a@b;tag=no>;Tag=yes"), Some("yes"));
    }

    #[test]
    fn malformed_ones_are_refused() {
        for bad in [
            "",
            "\"open <sip:a@b>",
            "<sip:a@b",
            "sip:a@b>",
            "<sip:a@b> x",
            "\"x\" sip:a@b",
            "<>",
            "<sip:a@b>;tag=1, <sip:c@d>",
            "sip:a@b?x=y",
            "< sip:a@b >",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{bad}");
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn preference_is_in_thousandths() {
        for (text, q) in
            [("1", 1000), ("1.0", 1000), ("0.7", 700), ("0.05", 50), ("0", 0), ("9.9", 1000), (".5", 500)]
        {
            assert_eq!(read(&format!("<sip:a@b>;q={text}")).q(), q, "{text}");
        }
        assert_eq!(read("<sip:a@b>").q(), 1000);
    }
}
