//! Messages out of a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1).

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::{name::Name, scan};

/// Cuts a byte stream into messages. Looks at each byte of a header once, however it trickles in.
#[derive(Debug)]
pub struct StreamDecoder {
    buffer: BytesMut,
    /// No header ends before here.
    scanned: usize,
    /// Size of the message that has begun, once its headers are complete.
    length: Option<usize>,
    max_message: usize,
    broken: Option<FramingError>,
}

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, for [`super::Message::parse`]. It has its own memory.
    Message(Bytes),
    /// A keep-alive of the peer: answer it with one CRLF.
    Ping,
}

/// Why the rest of a stream cannot be read. Close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// The message, or its headers, would be longer than allowed.
    TooLong,
    /// There is no Content-Length, or no usable one.
    ContentLength,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "message too long for the stream",
            Self::ContentLength => "message without a usable Content-Length",
        })
    }
}

impl std::error::Error for FramingError {}

impl StreamDecoder {
    /// For messages of up to this many bytes.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, length: None, max_message, broken: None }
    }

    /// Adds what was received. Take all frames out before adding more: what is not taken stays in memory.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Bytes of a message that is not complete; as long as there are some the peer owes us the rest.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame, `None` when more bytes are needed. An error comes again and again.
    #[allow(clippy::should_implement_trait, reason = "more bytes may come after None")]
    pub fn next(&mut self) -> Option<Result<Frame, FramingError>> {
        if let Some(error) = self.broken {
            return Some(Err(error));
        }
        let frame = self.advance();
        if let Err(error) = frame {
            self.broken = Some(error);
            self.buffer = BytesMut::new();
        }
        frame.transpose()
    }

    fn advance(&mut self) -> Result<Option<Frame>, FramingError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                if self.between_messages() {
                    return Ok(Some(Frame::Ping));
                }
                let Some(header) = self.header_end() else {
                    return if self.buffer.len() > self.max_message {
                        Err(FramingError::TooLong)
                    } else {
                        Ok(None)
                    };
                };
                let body = content_length(&self.buffer[..header]).ok_or(FramingError::ContentLength)?;
                let length = header.saturating_add(body);
                if length > self.max_message {
                    return Err(FramingError::TooLong);
                }
                self.length = Some(length);
                length
            }
        };
        let Some(message) = self.buffer.get(..length) else { return Ok(None) };
        let message = Bytes::copy_from_slice(message);
        self.buffer.advance(length);
        if self.buffer.is_empty() && self.buffer.capacity() > SPARE {
            self.buffer = BytesMut::new();
        }
        self.length = None;
        self.scanned = 0;
        Ok(Some(Frame::Message(message)))
    }

    /// Skips line ends before a message. RFC 5626 §3.5.1: two in a row are a ping, one is a pong.
    fn between_messages(&mut self) -> bool {
        loop {
            if self.buffer.starts_with(b"\r\n\r\n") {
                self.buffer.advance(4);
                return true;
            }
            match self.buffer.first() {
                // The other line end of a ping may still be on its way.
                Some(b'\r') if b"\r\n\r\n".starts_with(&self.buffer) => return false,
                Some(b'\r' | b'\n') => self.buffer.advance(1),
                Some(_) | None => return false,
            }
        }
    }

    /// Where the blank line behind the headers ends; the same rule as in the parser.
    fn header_end(&mut self) -> Option<usize> {
        if matches!(self.buffer.first(), Some(b'\r' | b'\n')) {
            return None;
        }
        while let Some(offset) = memchr::memchr(b'\n', self.buffer.get(self.scanned..)?) {
            let at = self.scanned + offset;
            match (self.buffer.get(at + 1), self.buffer.get(at + 2)) {
                (Some(b'\n'), _) => return Some(at + 2),
                (Some(b'\r'), Some(b'\n')) => return Some(at + 3),
                (None, _) | (Some(b'\r'), None) => {
                    self.scanned = at;
                    return None;
                }
                (Some(_), _) => self.scanned = at + 1,
            }
        }
        self.scanned = self.buffer.len();
        None
    }
}

/// The Content-Length of a header block; `None` if it is missing, malformed or contradicts itself.
fn content_length(header: &[u8]) -> Option<usize> {
    let mut length = None;
    let mut lines = header.split(|&byte| byte == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        if Name::known(line[..colon].trim_ascii_end()) != Some(Name::ContentLength) {
            continue;
        }
        let mut value = line[colon + 1..].trim_ascii().to_vec();
        while let Some(more) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            if !value.is_empty() && !more.trim_ascii().is_empty() {
                value.push(b' ');
            }
            value.extend_from_slice(more.trim_ascii());
        }
        let number = scan::number(std::str::from_utf8(&value).ok()?)? as usize;
        if length.replace(number).is_some_and(|before| before != number) {
            return None;
        }
    }
    length
}

/// An idle connection keeps no more memory than this, bytes.
const SPARE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP b\r\nl : 4\r\n\r\nbody";

    fn all(decoder: &mut StreamDecoder) -> Vec<Result<Frame, FramingError>> {
        std::iter::from_fn(|| decoder.next()).take(10).collect()
    }

    fn message(text: &str) -> Result<Frame, FramingError> {
        Ok(Frame::Message(Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn messages_and_pings_come_out_however_the_bytes_arrive() {
        let stream = format!("\r\n{OPTIONS}\r\n\r\n{OPTIONS}{OPTIONS}\r\n\r\n\r\n\r\n");
        for chunk in 1..stream.len() {
            let mut decoder = StreamDecoder::new(1000);
            let mut frames = Vec::new();
            for piece in stream.as_bytes().chunks(chunk) {
                decoder.push(piece);
                frames.extend(all(&mut decoder));
            }
            let expected = [
                message(OPTIONS),
                Ok(Frame::Ping),
                message(OPTIONS),
                message(OPTIONS),
                Ok(Frame::Ping),
                Ok(Frame::Ping),
            ];
            assert_eq!(frames, expected, "in chunks of {chunk}");
            assert_eq!(decoder.pending(), 0);
        }
    }

    #[test]
    fn folded_and_bare_line_ends_are_read_as_the_parser_does() {
        let text = "OPTIONS sip:a SIP/2.0\nContent-Length:\r\n \t3\n\nabc";
        let mut decoder = StreamDecoder::new(1000);
        decoder.push(text.as_bytes());
        assert_eq!(all(&mut decoder), [message(text)]);
    }

    #[test]
    fn unusable_lengths_break_the_stream() {
        for bad in [
            "A\r\n\r\n",
            "A\r\nContent-Length: -1\r\n\r\n",
            "A\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
            "A\r\nContent-Length: 1 2\r\n\r\n",
            "A\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ] {
            let mut decoder = StreamDecoder::new(1000);
            decoder.push(bad.as_bytes());
            assert_eq!(decoder.next(), Some(Err(FramingError::ContentLength)), "{bad}");
            decoder.push(OPTIONS.as_bytes());
            assert_eq!(decoder.next(), Some(Err(FramingError::ContentLength)), "{bad}");
        }
    }

    #[test]
    fn memory_is_bounded_by_the_longest_message() {
        let mut decoder = StreamDecoder::new(100);
        decoder.push(b"A\r\nContent-Length: 100\r\n\r\n");
        assert_eq!(decoder.next(), Some(Err(FramingError::TooLong)));
        let mut decoder = StreamDecoder::new(100);
        decoder.push(&[b'a'; 101]);
        assert_eq!(decoder.next(), Some(Err(FramingError::TooLong)));
        assert_eq!(decoder.pending(), 0);
    }
}
