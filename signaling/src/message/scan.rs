//! Lexical ground of all parsers here: tokens, quoted strings and lists (RFC 3261 §25.1).

use std::{borrow::Cow, fmt};

/// What each byte may be part of, as bits: a look-up is all a check of a byte costs.
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        if is_one_of(value, b"-.!%*_+`'~") || value.is_ascii_alphanumeric() {
            table[byte] |= TOKEN | PARAM_NAME;
        }
        // RFC 3261 §25.1: the name of a URI parameter is wider than the token of a header parameter.
        if is_one_of(value, b"[]/:&$()") {
            table[byte] |= PARAM_NAME;
        }
        if value > b' ' && value != 0x7f && !is_one_of(value, b"\",;<>?") {
            table[byte] |= PARAM_VALUE;
        }
        if value > b' ' && value != 0x7f && !is_one_of(value, b"\"<>") {
            table[byte] |= URI;
        }
        byte += 1;
    }
    table
};
/// A token (RFC 3261 §25.1).
pub(crate) const TOKEN: u8 = 1;
/// Name of a parameter, of a header or a URI.
pub(crate) const PARAM_NAME: u8 = 2;
/// Unquoted value of a parameter. Wide: addresses stand here, too.
pub(crate) const PARAM_VALUE: u8 = 4;
/// Inside a URI.
pub(crate) const URI: u8 = 8;

const fn is_one_of(byte: u8, list: &[u8]) -> bool {
    let mut at = 0;
    while at < list.len() {
        if list[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether all bytes are of this class.
pub(crate) fn all_are(class: u8, text: &[u8]) -> bool {
    text.iter().all(|&byte| CLASSES[usize::from(byte)] & class != 0)
}

/// Whether the text is a token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && all_are(TOKEN, text.as_bytes())
}

/// Removes blanks and line ends around a value.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_ascii()
}

/// A decimal number without sign; `None` on anything else or when it does not fit.
pub(crate) fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Delta-seconds; too large ones count as the largest (RFC 3261 §20.19 leaves them to us).
pub(crate) fn seconds(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

/// Position of the first of `wanted` outside quoted strings and angle brackets. `None` also when a quote stays open.
pub(crate) fn find_outside(text: &str, wanted: u8) -> Option<usize> {
    let mut depth = 0u32;
    let mut quoted = false;
    let mut escaped = false;
    // Most texts have neither quotes nor brackets before it.
    let start = memchr::memchr3(wanted, b'"', b'<', text.as_bytes())?;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if byte == wanted && depth == 0 {
            return Some(at);
        } else {
            match byte {
                b'"' => quoted = true,
                b'<' => depth += 1,
                b'>' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    None
}

/// The elements of a comma-separated list, trimmed; empty ones are left out.
pub(crate) fn list(value: &str) -> impl Iterator<Item = &str> {
    pieces(value, b',').filter(|piece| !piece.is_empty())
}

/// Everything between separators outside quotes and brackets, trimmed, empty pieces included.
pub(crate) fn pieces(value: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        match find_outside(text, separator) {
            Some(at) => {
                rest = Some(&text[at + 1..]);
                Some(trim(&text[..at]))
            }
            None => {
                rest = None;
                Some(trim(text))
            }
        }
    })
}

/// Length of the quoted string at the start, quotes included; `None` when it does not start with one or never ends.
pub(crate) fn quoted_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The content of a quoted string without its escapes; text without quotes as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            out.extend(characters.next());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Writes a quoted string, escaping as needed. Line ends become blanks: they would end the header.
pub(crate) fn write_quoted(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(character)?;
            }
            '\r' | '\n' | '\0' => f.write_char(' ')?,
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

/// Replaces `%HH` by its byte. Invalid escapes stay as they are; invalid UTF-8 is replaced.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1).zip(bytes.get(at + 2));
        let value = pair.and_then(|(&high, &low)| {
            Some(char::from(high).to_digit(16)? as u8 * 16 + char::from(low).to_digit(16)? as u8)
        });
        match value {
            Some(value) if bytes[at] == b'%' => {
                out.push(value);
                at += 3;
            }
            Some(_) | None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Writes `%HH` for every byte that is neither unreserved (RFC 3261 §25.1) nor in `also`.
pub(crate) fn escape(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(digit), 16).map(|c| c.to_ascii_uppercase()));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let parts: Vec<_> = list(r#""Bell, \"A\"" <sip:a@b,c>;q=1 , sip:d@e,,"#).collect();
        assert_eq!(parts, [r#""Bell, \"A\"" <sip:a@b,c>;q=1"#, "sip:d@e"]);
    }

    #[test]
    fn quoted_strings_round_trip() {
        let mut out = String::new();
        write_quoted(&mut out, "a\"b\\c").unwrap();
        assert_eq!(out, r#""a\"b\\c""#);
        assert_eq!(quoted_len(&out), Some(out.len()));
        assert_eq!(unquote(&out), "a\"b\\c");
        assert_eq!(quoted_len(r#""open\""#), None);
        assert_eq!(quoted_len("\"\\"), None);
    }

    #[test]
    fn escapes_round_trip_and_bad_ones_stay() {
        assert_eq!(unescape("%61lice%Z%4"), "alice%Z%4");
        assert_eq!(escape("a b+c@", b"+"), "a%20b+c%40");
        assert_eq!(unescape(&escape("jürgen", b"")), "jürgen");
    }
}
