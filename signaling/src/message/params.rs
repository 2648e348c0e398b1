//! Parameters behind semicolons, of URIs and of headers.

use std::{borrow::Cow, fmt};

use super::scan;

/// An ordered list of parameters. Names are compared without case; values are kept as written, quotes included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads `;a=b;c`, with or without the first semicolon. Empty text is no parameters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut params = Self::new();
        for param in read(text) {
            let (name, value) = param?;
            params.0.push((name.into(), value.map(Into::into)));
        }
        Some(params)
    }

    /// The value as written; the empty string for a parameter without one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(value.as_deref().unwrap_or_default())
    }

    /// The value without quotes and escapes.
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(scan::unquote)
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Gives it this value, in place if it exists, at the end otherwise. What is no token is written as a quoted string
    /// unless it already is one or is an address; escape it yourself where it goes into a URI.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let mut value = value.into();
        if !(is_value(&value) || scan::quoted_len(&value) == Some(value.len())) || value.is_empty() {
            let mut quoted = String::with_capacity(value.len() + 2);
            // Writing to a String cannot fail.
            let _ = scan::write_quoted(&mut quoted, &value);
            value = quoted;
        }
        self.put(name, Some(value));
    }

    /// Adds a parameter without a value, such as `lr`.
    pub fn set_flag(&mut self, name: &str) {
        self.put(name, None);
    }

    /// Removes all of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }

    /// In order, name and value as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.into(), value)),
        }
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// Reads parameters without copying; an item of `None` is a malformed one.
pub(crate) fn read(text: &str) -> impl Iterator<Item = Option<(&str, Option<&str>)>> {
    let text = scan::trim(text);
    let mut rest = Some(text.strip_prefix(';').unwrap_or(text)).filter(|text| !text.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let piece = match scan::find_outside(text, b';') {
            Some(at) => {
                // A semicolon at the very end is a common slip and harmless.
                rest = Some(&text[at + 1..]).filter(|after| !scan::trim(after).is_empty());
                scan::trim(&text[..at])
            }
            None => {
                rest = None;
                scan::trim(text)
            }
        };
        Some(param(piece))
    })
}

/// Whether all parameters are well-formed.
pub(crate) fn are_valid(text: &str) -> bool {
    read(text).all(|param| param.is_some())
}

fn param(piece: &str) -> Option<(&str, Option<&str>)> {
    let Some(equal) = memchr::memchr(b'=', piece.as_bytes()) else {
        return is_name(piece).then_some((piece, None));
    };
    let (name, value) = (scan::trim(&piece[..equal]), scan::trim(&piece[equal + 1..]));
    let valid = is_value(value) || scan::quoted_len(value) == Some(value.len());
    (is_name(name) && valid).then_some((name, Some(value)))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && scan::all_are(scan::PARAM_NAME, name.as_bytes())
}

fn is_value(value: &str) -> bool {
    scan::all_are(scan::PARAM_VALUE, value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_flags_and_quotes_are_read() {
        let params =
            Params::parse(r#"; a = b ;lr; +sip.instance="<urn:x;y>";received=2001:db8::1;"#).unwrap();
        assert_eq!(params.get("A"), Some("b"));
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.unquoted("+sip.instance").unwrap(), "<urn:x;y>");
        assert_eq!(params.to_string(), r#";a=b;lr;+sip.instance="<urn:x;y>";received=2001:db8::1"#);
        assert_eq!(Params::parse(&params.to_string()), Some(params));
    }

    #[test]
    fn holes_and_open_quotes_are_refused() {
        for bad in [";;a", "a;;b", "a=\"b", "=x", "a=b c", "a b"] {
            assert_eq!(Params::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_set_can_be_read_again() {
        let mut params = Params::new();
        params.set("a", "x y");
        params.set("b", "[::1]:5060");
        params.set_flag("c");
        params.set("A", "evil\r\n;d=1");
        let again = Params::parse(&params.to_string()).unwrap();
        assert_eq!(again, params);
        assert_eq!(again.len(), 3);
    }
}
