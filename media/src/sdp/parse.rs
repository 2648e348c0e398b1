//! Reading a description: strict where it must be understood, deaf to everything else.

use super::{Attribute, Connection, Description, Media, Origin, SdpError};

impl Description {
    /// Reads a description. Unknown lines are ignored, unknown attributes kept. Lines end with CRLF, LF or CR.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > MAX_BYTES {
            return Err(SdpError::TooMany { what: "bytes" });
        }
        let body = String::from_utf8_lossy(body);
        let mut description = Self::default();
        let mut versioned = false;
        for (index, line) in
            body.split('\n').flat_map(|line| line.trim_end_matches('\r').split('\r')).enumerate()
        {
            let number = index + 1;
            if number > MAX_LINES {
                return Err(SdpError::TooMany { what: "lines" });
            }
            let Some((kind, value)) = line.trim_start().split_once('=') else { continue };
            let (kind, value) = (kind.trim_end(), value.trim());
            if !versioned {
                if kind != "v" {
                    return Err(SdpError::Syntax { line: number, expected: "v=0" });
                }
                versioned = true;
            }
            description.take_line(number, kind, value)?;
        }
        if versioned { Ok(description) } else { Err(SdpError::Syntax { line: 1, expected: "v=0" }) }
    }

    fn take_line(&mut self, line: usize, kind: &str, value: &str) -> Result<(), SdpError> {
        match kind {
            "v" if value != "0" => return Err(SdpError::Syntax { line, expected: "v=0" }),
            "o" if self.media.is_empty() => self.origin = origin(value),
            "s" if self.media.is_empty() => value.clone_into(&mut self.name),
            "c" => {
                let connection = connection(line, value)?;
                match self.media.last_mut() {
                    // RFC 8866 §5.7: further lines of one section are layers of a multicast session.
                    Some(media) => _ = media.connection.get_or_insert(connection),
                    None => _ = self.connection.get_or_insert(connection),
                }
            }
            "m" => {
                if self.media.len() == MAX_MEDIA {
                    return Err(SdpError::TooMany { what: "m= lines" });
                }
                self.media.push(media(line, value)?);
            }
            "a" => match self.media.last_mut() {
                Some(media) => media.attributes.push(Attribute::parse(value)),
                None => self.attributes.push(Attribute::parse(value)),
            },
            _ => {}
        }
        Ok(())
    }
}

/// An origin is only compared and shown, so any will do.
fn origin(value: &str) -> Origin {
    let mut words = value.splitn(4, ' ').map(str::to_owned);
    let mut next = || words.next().unwrap_or_default();
    Origin { username: next(), session_id: next(), version: next(), address: next() }
}

fn connection(line: usize, value: &str) -> Result<Connection, SdpError> {
    let syntax = SdpError::Syntax { line, expected: "c=IN IP4 <address> or c=IN IP6 <address>" };
    let mut words = value.split_whitespace();
    let (Some(_network), Some(_family), Some(address)) = (words.next(), words.next(), words.next()) else {
        return Err(syntax);
    };
    // RFC 8866 §5.7: /ttl and /count belong to multicast.
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    if address.is_empty() {
        return Err(syntax);
    }
    Ok(address.parse().map_or_else(|_| Connection::Name(address.to_owned()), Connection::Address))
}

fn media(line: usize, value: &str) -> Result<Media, SdpError> {
    let syntax = SdpError::Syntax { line, expected: "m=<media> <port> <protocol> <formats>" };
    let mut words = value.split_whitespace();
    let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
        return Err(syntax);
    };
    // RFC 8866 §5.14: <port>/<number of ports>.
    let port = port.split_once('/').map_or(port, |(port, _)| port);
    let Ok(port) = port.parse() else { return Err(syntax) };
    let formats: Vec<String> = words.by_ref().take(MAX_FORMATS).map(str::to_owned).collect();
    if words.next().is_some() {
        return Err(SdpError::TooMany { what: "formats" });
    }
    Ok(Media {
        line,
        kind: kind.to_owned(),
        port,
        protocol: protocol.to_owned(),
        formats,
        connection: None,
        attributes: Vec::new(),
    })
}

const MAX_BYTES: usize = 64 * 1024;
const MAX_LINES: usize = 2048;
const MAX_MEDIA: usize = 64;
const MAX_FORMATS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(body: &str) -> usize {
        match Description::parse(body.as_bytes()) {
            Err(SdpError::Syntax { line, .. }) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_line_ending_is_read() {
        for ending in ["\r\n", "\n", "\r"] {
            let body = [
                "v=0",
                "o=- 1 2 IN IP4 h",
                "s=x",
                "c=IN IP4 192.0.2.1",
                "m=audio 4000 RTP/AVP 0 8",
                "a=ptime:20",
            ];
            let description = Description::parse(body.join(ending).as_bytes()).unwrap();
            assert_eq!(description.origin.version, "2");
            assert_eq!(description.media[0].formats, ["0", "8"]);
            assert_eq!(description.media[0].attributes, [Attribute::Ptime(20)]);
        }
    }

    #[test]
    fn lines_that_must_be_understood_are_named_by_number() {
        assert_eq!(syntax(""), 1);
        assert_eq!(syntax("hello"), 1);
        assert_eq!(syntax("o=- 1 1 IN IP4 h\r\nv=0"), 1);
        assert_eq!(syntax("v=1\r\n"), 1);
        assert_eq!(syntax("v=0\r\nm=audio\r\n"), 2);
        assert_eq!(syntax("v=0\r\ns=-\r\nm=audio 65536 RTP/AVP 0\r\n"), 3);
        assert_eq!(syntax("v=0\r\nm=audio -1 RTP/AVP 0\r\n"), 2);
        assert_eq!(syntax("v=0\r\nc=IN IP4\r\n"), 2);
        assert_eq!(syntax("v=0\r\nc=IN IP4 /127\r\n"), 2);
    }

    #[test]
    fn unknown_lines_are_no_error() {
        let body = "v=0\r\n\r\ngarbage\r\nx=y\r\n=\r\nb=AS:64\r\nt=0 0\r\nz=\r\na=\r\nm=audio 4000/2 RTP/AVP 0\r\nk=?\r\na=\u{0}\r\n";
        let description = Description::parse(body.as_bytes()).unwrap();
        assert_eq!(description.media.len(), 1);
        assert_eq!(description.media[0].port, 4000);
        assert!(Description::parse(b"v=0\r\ns=\xFF\xFE\r\n").is_ok());
    }

    #[test]
    fn limits_hold() {
        let many = |what| Err(SdpError::TooMany { what });
        let media = format!("v=0\r\n{}", "m=audio 0 RTP/AVP 0\r\n".repeat(65));
        assert_eq!(Description::parse(media.as_bytes()), many("m= lines"));
        let formats = format!("v=0\r\nm=audio 0 RTP/AVP{}\r\n", " 0".repeat(65));
        assert_eq!(Description::parse(formats.as_bytes()), many("formats"));
        let lines = format!("v=0\r\n{}", "a=x\r\n".repeat(3000));
        assert_eq!(Description::parse(lines.as_bytes()), many("lines"));
        let bytes = format!("v=0\r\ns={}\r\n", "x".repeat(70_000));
        assert_eq!(Description::parse(bytes.as_bytes()), many("bytes"));
    }

    #[test]
    fn connections_are_addresses_or_names() {
        let of = |value: &str| connection(1, value).unwrap();
        assert_eq!(of("IN IP4 192.0.2.1/127").unicast(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(of("IN IP6 2001:db8::1").unicast(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(of("IN IP4 224.2.1.1/127").unicast(), None);
        assert_eq!(of("IN IP4 255.255.255.255").unicast(), None);
        assert_eq!(of("IN IP4 phone.example").unicast(), None);
        assert!(of("IN IP4 0.0.0.0").is_unspecified());
        assert!(of("IN IP6 ::").is_unspecified());
    }
}
