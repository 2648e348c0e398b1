//! Seeded mutations: of bytes for binary formats, of lines and tokens for text.

use crate::random::Random;

/// Longest input that is made, bytes: a datagram's limit and a little more, so that the limit itself is met.
const LONGEST: usize = 70_000;

/// Changes bytes, mostly few times, at most 8.
pub fn bytes(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let most = random.below(8);
    for _ in 0..=random.below(most + 1) {
        let at = random.below(input.len());
        let length = random.below((input.len() - at).min(64) + 1);
        match random.below(10) {
            0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            1 if !input.is_empty() => input[at] = random.byte(),
            2 if !input.is_empty() => input[at] = *random.pick(&[&0, &1, &0x7f, &0x80, &0xff]),
            3 => input.truncate(at),
            4 => drop(input.drain(at..at + length)),
            5 => insert(input, at, &vec![random.byte(); length]),
            6 => {
                let copy = input[at..at + length].to_vec();
                let to = random.below(input.len());
                insert(input, to, &copy);
            }
            7 if input.len() >= 2 => {
                // A length or counter field at its edge.
                let at = random.below(input.len() - 1);
                let edge: u16 = *random.pick(&[&0, &1, &0x00ff, &0x7fff, &0x8000, &0xffff]);
                input[at..at + 2].copy_from_slice(&edge.to_be_bytes());
            }
            8 if !other.is_empty() => {
                let from = random.below(other.len());
                let to = (from + 1 + random.below(200)).min(other.len());
                insert(input, at, &other[from..to]);
            }
            _ => {
                let block = input[at..at + length].to_vec();
                let most = if random.one_in(50) { 2_000 } else { 20 };
                for _ in 0..random.below(most) {
                    insert(input, at, &block);
                }
            }
        }
    }
}

/// Changes lines and tokens of a text of CRLF lines, mostly once or twice, at most 5 times; now and then bytes as well.
pub fn text(input: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    let most = random.below(5);
    for _ in 0..=random.below(most + 1) {
        let lines = lines(input);
        let line = lines[random.below(lines.len())].clone();
        match random.below(12) {
            0 => drop(input.drain(line)),
            1 => {
                let copy = input[line.clone()].to_vec();
                let most = if random.one_in(20) { 300 } else { 3 };
                for _ in 0..=random.below(most) {
                    insert(input, line.start, &copy);
                }
            }
            2 => {
                // Lines change places.
                let moved: Vec<u8> = input.drain(line).collect();
                let lines = self::lines(input);
                let to = lines[random.below(lines.len())].start;
                insert(input, to, &moved);
            }
            3 => {
                // A line of another message.
                let others = self::lines(other);
                let theirs = others[random.below(others.len())].clone();
                insert(input, line.start, &other[theirs]);
            }
            4 | 5 => replace_value(input, line, words, random),
            6 | 7 => replace_number(input, line, random),
            8 => {
                let at = line.start + random.below(line.len() + 1);
                insert(input, at, random.pick(words).as_bytes());
            }
            9 => replace_separator(input, line, random),
            10 => {
                let long = random.pick(&[&100usize, &1_000, &8_191, &8_193, &60_000]);
                let filler = vec![*random.pick(&[&b'a', &b' ', &b';', &b'"', &b'<', &0xc3]); *long];
                insert(input, line.start + line.len() / 2, &filler);
            }
            _ => bytes(input, other, random),
        }
    }
}

/// The lines of a text with their ends; never empty.
fn lines(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        lines.push(start..start + line.len());
        start += line.len();
    }
    if lines.is_empty() {
        lines.push(0..0);
    }
    lines
}

/// What follows `:` or `=` becomes another word.
fn replace_value(input: &mut Vec<u8>, line: std::ops::Range<usize>, words: &[&str], random: &mut Random) {
    let Some(colon) = input[line.clone()].iter().position(|byte| matches!(byte, b':' | b'=')) else { return };
    let start = line.start + colon + 1;
    let end =
        line.end - input[start..line.end].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    splice(input, start, end.max(start), random.pick(words).as_bytes());
}

/// A number becomes one at the edge of what fits.
fn replace_number(input: &mut Vec<u8>, line: std::ops::Range<usize>, random: &mut Random) {
    let digits: Vec<usize> = line.clone().filter(|at| input[*at].is_ascii_digit()).collect();
    if digits.is_empty() {
        return;
    }
    let start = digits[random.below(digits.len())];
    let end = (start..line.end).find(|at| !input[*at].is_ascii_digit()).unwrap_or(line.end);
    splice(input, start, end, random.pick(NUMBERS).as_bytes());
}

/// Punctuation becomes other punctuation.
fn replace_separator(input: &mut Vec<u8>, line: std::ops::Range<usize>, random: &mut Random) {
    let marks: Vec<usize> =
        line.filter(|at| input[*at].is_ascii_punctuation() || input[*at] == b' ').collect();
    if marks.is_empty() {
        return;
    }
    let at = marks[random.below(marks.len())];
    splice(input, at, at + 1, random.pick(SEPARATORS).as_bytes());
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    splice(input, at, at, bytes);
}

fn splice(input: &mut Vec<u8>, start: usize, end: usize, bytes: &[u8]) {
    if input.len() + bytes.len() <= LONGEST {
        input.splice(start..end, bytes.iter().copied());
    }
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "00000000001",
    "9",
    "10",
    "63",
    "64",
    "65",
    "127",
    "128",
    "255",
    "256",
    "1300",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "0x10",
    "1e9",
    "1.5",
    "+5",
    "",
];

const SEPARATORS: &[&str] = &[
    "", " ", "\t", ":", ";", ",", "=", "<", ">", "\"", "\\", "@", "/", "?", "&", "%", "%00", "[", "]", "(",
    ")", "\r", "\n", "\r\n", "\r\n ", "\0", "\u{7f}", "é", "*", "#", "--",
];

/// Words of SIP.
pub const SIP_WORDS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
    "SIP/2.0",
    "SIP/2.1",
    "SIP/2.0/UDP ",
    "SIP/2.0/TCP ",
    "z9hG4bK",
    ";branch=z9hG4bK",
    ";tag=",
    ";tag=ours",
    ";rport",
    ";rport=1",
    ";received=",
    ";received=[::1]",
    ";lr",
    ";maddr=239.1.1.1",
    ";ttl=256",
    ";transport=tcp",
    ";transport=sctp",
    ";expires=0",
    ";q=1.001",
    "sip:",
    "sips:",
    "tel:+1",
    "sip:@",
    "sip:a:b:c@d:e",
    "sip:[::1",
    "sip:[::1]:99999",
    "sip:127.0.0.1:5070",
    "<sip:a@127.0.0.1>",
    "<>",
    "\"",
    "\"\\\"\"",
    "*",
    "Via: ",
    "v: ",
    "From: ",
    "To: ",
    "Call-ID: ",
    "CSeq: 1 INVITE\r\n",
    "Contact: *\r\n",
    "Content-Length: 0\r\n",
    "l: -1\r\n",
    "Max-Forwards: 0\r\n",
    "Route: <sip:127.0.0.1;lr>\r\n",
    "Record-Route: <sip:127.0.0.1;lr>\r\n",
    "Require: 100rel\r\n",
    "Expires: 0\r\n",
    "Content-Type: application/sdp\r\n",
    "Authorization: Digest ",
    "username=\"ana\"",
    "nonce=\"\"",
    "qop=auth",
    "nc=00000001",
    "algorithm=SHA-256-sess",
    "\r\n",
    "\r\n\r\n",
    " ",
    "\t",
    ",",
    ";",
    "=",
    "%",
    "\0",
];

/// Words of SDP.
pub const SDP_WORDS: &[&str] = &[
    "v=0\r\n",
    "v=1\r\n",
    "o=- 0 0 IN IP4 0.0.0.0\r\n",
    "c=IN IP4 0.0.0.0\r\n",
    "c=IN IP6 ::\r\n",
    "c=IN IP4 1.2.3.4/5\r\n",
    "c=IN IP4 \r\n",
    "t=0 0\r\n",
    "m=audio 5000 RTP/AVP 0\r\n",
    "m=audio 0 RTP/AVP 0\r\n",
    "m=video 1 RTP/AVP 96\r\n",
    "m=audio 65535 RTP/AVP 8 101\r\n",
    "a=sendonly\r\n",
    "a=recvonly\r\n",
    "a=inactive\r\n",
    "a=rtcp-mux\r\n",
    "a=rtcp:1\r\n",
    "a=rtcp:65536 IN IP4 x\r\n",
    "a=rtpmap:0 PCMU/8000\r\n",
    "a=rtpmap:128 X/0\r\n",
    "a=rtpmap:101 telephone-event/8000\r\n",
    "a=rtpmap:96 opus/48000/2\r\n",
    "a=fmtp:101 0-15,66\r\n",
    "a=fmtp:\r\n",
    "a=ptime:0\r\n",
    "a=ptime:60\r\n",
    "a=ptime:4294967295\r\n",
    "a=maxptime:10\r\n",
    "RTP/AVP",
    "RTP/SAVP",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n",
    "a=crypto:2 AEAD_AES_128_GCM inline:P6Wxt4M3wdCu7ycnFcoq4soC2iDZ14Xd+3Q/Uw==\r\n",
    "IP4",
    "IP6",
    "IN",
    "audio",
    "PCMU",
    "8000",
    " ",
    "/",
    ":",
    "=",
    "\r\n",
    "\0",
];
