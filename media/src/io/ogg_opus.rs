//! Opus in Ogg (RFC 7845, RFC 3533), page by page. A file that was cut off plays up to its last whole page.

use crate::codec::{EncoderSettings, opus};

/// Encodes interleaved samples of one or two channels.
#[derive(Debug)]
pub(super) struct Encoder {
    opus: opus::Encoder,
    channels: usize,
    /// Samples at 48 kHz for each of ours.
    factor: u64,
    /// Interleaved, less than a packet.
    waiting: Vec<i16>,
    /// Packets of the page that is being filled, and their lengths.
    body: Vec<u8>,
    lengths: Vec<usize>,
    serial: u32,
    page: u32,
    /// Samples at 48 kHz that went into packets, and those that came in.
    encoded: u64,
    taken: u64,
    /// Samples at 48 kHz that a player drops at the beginning.
    pre_skip: u64,
}

impl Encoder {
    /// `rate` is 8,000, 16,000, 24,000 or 48,000; `serial` tells apart streams.
    pub(super) fn new(rate: u32, channels: u16, serial: u32) -> Self {
        let channels = usize::from(channels);
        // Files are kept: twice the work of a call, and half as many bits again.
        let per_channel = match rate {
            ..=8_000 => 16_000,
            8_001..=16_000 => 28_000,
            _ => 48_000,
        };
        let settings = EncoderSettings {
            bit_rate: Some(per_channel * channels as u32),
            complexity: 5,
            forward_error_correction: false,
            discontinuous: false,
            peer_rate: 48_000,
        };
        let mut opus = opus::Encoder::with_channels(rate, channels as u8, settings);
        let factor = 48_000 / u64::from(opus.rate());
        let pre_skip = opus.lookahead() as u64 * factor;
        Self {
            opus,
            channels,
            factor,
            waiting: Vec::new(),
            body: Vec::new(),
            lengths: Vec::new(),
            serial,
            page: 0,
            encoded: 0,
            taken: 0,
            pre_skip,
        }
    }

    /// RFC 7845 §5: the pages in front of the audio.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(self.channels as u8);
        head.extend((self.pre_skip as u16).to_le_bytes());
        head.extend(self.opus.rate().to_le_bytes());
        head.extend([0; 3]);
        self.write_page(BEGIN, 0, &[head.len()], &head, out);
        let vendor = b"offhook";
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0_u32.to_le_bytes());
        self.write_page(0, 0, &[tags.len()], &tags, out);
    }

    pub(super) fn append(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        self.taken += (samples.len() / self.channels) as u64 * self.factor;
        self.waiting.extend_from_slice(samples);
        let frame = self.frame();
        let mut waiting = std::mem::take(&mut self.waiting);
        let whole = waiting.len() / frame * frame;
        for frame in waiting[..whole].chunks_exact(frame) {
            self.encode(frame);
            if self.lengths.len() >= PACKETS_PER_PAGE {
                self.flush(0, out);
            }
        }
        waiting.drain(..whole);
        self.waiting = waiting;
    }

    /// Writes the page that is being filled.
    pub(super) fn checkpoint(&mut self, out: &mut Vec<u8>) {
        if !self.lengths.is_empty() {
            self.flush(0, out);
        }
    }

    /// Encodes until all that came in can come out, and marks the end.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        while self.encoded < self.taken + self.pre_skip {
            let mut frame = std::mem::take(&mut self.waiting);
            frame.resize(self.frame(), 0);
            self.encode(&frame);
        }
        // RFC 7845 §4.4: the last position cuts off what was added to fill packets.
        self.encoded = self.taken + self.pre_skip;
        self.flush(END, out);
    }

    /// Interleaved samples of 20 ms.
    fn frame(&self) -> usize {
        self.opus.rate() as usize / 50 * self.channels
    }

    fn encode(&mut self, frame: &[i16]) {
        let mut packet = [0; 1500];
        let length = self.opus.encode(frame, &mut packet);
        self.body.extend_from_slice(&packet[..length]);
        self.lengths.push(length);
        self.encoded += 960;
    }

    fn flush(&mut self, flags: u8, out: &mut Vec<u8>) {
        let (body, lengths) = (std::mem::take(&mut self.body), std::mem::take(&mut self.lengths));
        self.write_page(flags, self.encoded, &lengths, &body, out);
    }

    /// RFC 3533 §6.
    fn write_page(&mut self, flags: u8, position: u64, lengths: &[usize], body: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend(b"OggS\0");
        out.push(flags);
        out.extend(position.to_le_bytes());
        out.extend(self.serial.to_le_bytes());
        out.extend(self.page.to_le_bytes());
        out.extend([0; 4]);
        let segments: Vec<u8> = lengths
            .iter()
            .flat_map(|&length| std::iter::repeat_n(255, length / 255).chain([(length % 255) as u8]))
            .collect();
        out.push(segments.len() as u8);
        out.extend(segments);
        out.extend_from_slice(body);
        let crc = crc(&out[begin..]);
        out[begin + 22..begin + 26].copy_from_slice(&crc.to_le_bytes());
        self.page += 1;
    }
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, &byte| crc << 8 ^ CRC[usize::from((crc >> 24) as u8 ^ byte)])
}

static CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 31 == 0 { 0 } else { 0x04C1_1DB7 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

const BEGIN: u8 = 2;
const END: u8 = 4;

/// 400 ms; a packet has at most six segments, a page 255.
const PACKETS_PER_PAGE: usize = 20;
