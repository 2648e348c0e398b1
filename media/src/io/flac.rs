//! FLAC (RFC 9639), written as it comes: fixed predictors and Rice codes. Every frame stands on its own, so that a file
//! that was cut off plays up to there.

/// Bytes before the first frame.
pub(super) const HEADER: usize = 42;

/// Encodes interleaved samples of one or two channels, 16 bits.
#[derive(Debug)]
pub(super) struct Encoder {
    rate: u32,
    channels: u16,
    /// Samples of each channel in a frame.
    block: usize,
    /// Interleaved, less than a frame.
    waiting: Vec<i16>,
    /// Frames written.
    number: u64,
    /// Samples of each channel written.
    samples: u64,
}

impl Encoder {
    pub(super) fn new(rate: u32, channels: u16) -> Self {
        let block = match rate {
            ..=8_000 => 1024,
            8_001..=24_000 => 2048,
            _ => 4096,
        };
        Self { rate, channels, block, waiting: Vec::new(), number: 0, samples: 0 }
    }

    /// RFC 9639 §8: the signature and the STREAMINFO block, for what was written so far.
    pub(super) fn header(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(b"fLaC\x80\0\0\x22");
        let block = (self.block as u16).to_be_bytes();
        header[8..10].copy_from_slice(&block);
        header[10..12].copy_from_slice(&block);
        // Rate 20 bits, channels less one 3, bits per sample less one 5, samples 36. Sizes of frames and MD5: unknown.
        let facts = u64::from(self.rate) << 44
            | u64::from(self.channels - 1) << 41
            | 15 << 36
            | self.samples.min((1 << 36) - 1);
        header[18..26].copy_from_slice(&facts.to_be_bytes());
        header
    }

    pub(super) fn append(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        self.waiting.extend_from_slice(samples);
        let frame = self.block * usize::from(self.channels);
        let mut waiting = std::mem::take(&mut self.waiting);
        let whole = waiting.len() / frame * frame;
        for frame in waiting[..whole].chunks_exact(frame) {
            self.write(frame, out);
        }
        waiting.drain(..whole);
        self.waiting = waiting;
    }

    /// Writes what is left, as a last and shorter frame.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.write(&waiting, out);
        }
    }

    /// RFC 9639 §9: one frame.
    fn write(&mut self, interleaved: &[i16], out: &mut Vec<u8>) {
        let channels = usize::from(self.channels);
        let length = interleaved.len() / channels;
        let begin = out.len();
        let whole = length == self.block;
        let size_code = match self.block {
            _ if !whole => 0b0111,
            1024 => 0b1010,
            2048 => 0b1011,
            _ => 0b1100,
        };
        let rate_code = match self.rate {
            8_000 => 0b0100,
            16_000 => 0b0101,
            24_000 => 0b0111,
            48_000 => 0b1010,
            _ => 0,
        };
        out.extend([0xFF, 0xF8, size_code << 4 | rate_code, (channels as u8 - 1) << 4 | 0b100 << 1]);
        coded_number(self.number, out);
        if !whole {
            out.extend((length as u16 - 1).to_be_bytes());
        }
        out.push(crc8(&out[begin..]));
        let mut bits = Bits { out, pending: 0, count: 0 };
        for channel in 0..channels {
            let samples: Vec<i32> =
                interleaved.iter().skip(channel).step_by(channels).map(|&s| s.into()).collect();
            subframe(&samples, &mut bits);
        }
        bits.pad();
        let crc = crc16(&out[begin..]);
        out.extend(crc.to_be_bytes());
        self.number += 1;
        self.samples += length as u64;
    }
}

/// RFC 9639 §9.2: one channel of a frame.
fn subframe(samples: &[i32], bits: &mut Bits<'_>) {
    if samples.iter().all(|&sample| sample == samples[0]) {
        bits.write(0, 8);
        bits.write(samples[0] as u32 & 0xFFFF, 16);
        return;
    }
    // The fixed predictors are differences of differences; the least magnitude wins.
    let mut residual = samples.to_vec();
    let mut best: (u64, usize, Vec<i32>) = (u64::MAX, 0, Vec::new());
    for order in 0..=4.min(samples.len() - 1) {
        if order > 0 {
            residual = residual.windows(2).map(|pair| pair[1] - pair[0]).collect();
        }
        let cost = residual.iter().map(|&value| u64::from(value.unsigned_abs())).sum();
        if cost < best.0 {
            best = (cost, order, residual.clone());
        }
    }
    let (_, order, residual) = best;
    let (partitions, parameters, cost) = rice(&residual, samples.len(), order);
    if cost > samples.len() * 16 {
        bits.write(0b0000_0010, 8);
        for &sample in samples {
            bits.write(sample as u32 & 0xFFFF, 16);
        }
        return;
    }
    bits.write((0b1000 | order as u32) << 1, 8);
    for &sample in &samples[..order] {
        bits.write(sample as u32 & 0xFFFF, 16);
    }
    bits.write(0, 2);
    bits.write(partitions, 4);
    let mut rest = &residual[..];
    for (index, parameter) in parameters.into_iter().enumerate() {
        let length = (samples.len() >> partitions) - if index == 0 { order } else { 0 };
        let (partition, behind) = rest.split_at(length);
        rest = behind;
        bits.write(parameter, 4);
        for &value in partition {
            let folded = fold(value);
            bits.zeros(folded >> parameter);
            bits.write(1 << parameter | folded & ((1 << parameter) - 1), parameter + 1);
        }
    }
}

/// The best partition order with its Rice parameters, and the bits they need.
fn rice(residual: &[i32], length: usize, order: usize) -> (u32, Vec<u32>, usize) {
    let mut best = (0, Vec::new(), usize::MAX);
    for partitions in 0..=4_u32 {
        let size = length >> partitions;
        if size << partitions != length || size <= order {
            break;
        }
        let (mut parameters, mut cost, mut begin) = (Vec::new(), 0, 0);
        for index in 1..=1 << partitions {
            let end = size * index - order;
            let (parameter, bits) = (0..15)
                .map(|k| {
                    (
                        k,
                        residual[begin..end]
                            .iter()
                            .map(|&v| (fold(v) >> k) as usize + 1 + k as usize)
                            .sum::<usize>(),
                    )
                })
                .min_by_key(|&(_, bits)| bits)
                .unwrap_or((0, 0));
            parameters.push(parameter);
            cost += bits + 4;
            begin = end;
        }
        if cost < best.2 {
            best = (partitions, parameters, cost);
        }
    }
    best
}

/// 0, -1, 1, -2, 2 … as 0, 1, 2, 3, 4 …
fn fold(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

/// RFC 9639 §9.1.5: as UTF-8 does, up to 36 bits.
fn coded_number(number: u64, out: &mut Vec<u8>) {
    if number < 0x80 {
        out.push(number as u8);
        return;
    }
    let mut following = 1;
    while number >> (following * 5 + 6) != 0 {
        following += 1;
    }
    out.push((0xFF00_u32 >> (following + 1)) as u8 | (number >> (6 * following)) as u8);
    for index in (0..following).rev() {
        out.push(0x80 | (number >> (6 * index)) as u8 & 0x3F);
    }
}

/// Bits, the highest first.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits<'_> {
    fn write(&mut self, value: u32, count: u32) {
        self.pending = self.pending << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.out.push((self.pending >> self.count) as u8);
        }
    }

    fn zeros(&mut self, mut count: u32) {
        while count > 24 {
            self.write(0, 24);
            count -= 24;
        }
        self.write(0, count);
    }

    fn pad(&mut self) {
        self.write(0, (8 - self.count) % 8);
    }
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| crc << 1 ^ if crc & 0x80 == 0 { 0 } else { 0x07 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let index = usize::from((crc >> 8) as u8 ^ byte);
        crc << 8 ^ CRC16[index]
    })
}

static CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x8005 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(file: &[u8]) -> (u32, u32, Vec<i16>) {
        let mut reader = claxon::FlacReader::new(file).expect("a FLAC file");
        let info = reader.streaminfo();
        let samples = reader.samples().map_while(Result::ok).map(|sample| sample as i16).collect();
        (info.sample_rate, info.channels, samples)
    }

    fn encoded(rate: u32, channels: u16, samples: &[i16], piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(rate, channels);
        let mut file = encoder.header().to_vec();
        for piece in samples.chunks(piece) {
            encoder.append(piece, &mut file);
        }
        encoder.finish(&mut file);
        file[..HEADER].copy_from_slice(&encoder.header());
        file
    }

    #[test]
    fn another_decoder_reads_every_sample() {
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as i16
        };
        let signals: [Vec<i16>; 5] = [
            vec![0; 5000],
            (0..20_001).map(|_| noise()).collect(),
            (0..20_000).map(|at| ((f64::from(at) * 0.05).sin() * 20_000.0) as i16 + noise() / 1000).collect(),
            (0..9000).map(|at| if at / 50 % 2 == 0 { i16::MAX } else { i16::MIN }).collect(),
            vec![5, 6],
        ];
        for samples in &signals {
            for (rate, channels) in [(8_000, 1), (16_000, 1), (48_000, 1), (8_000, 2), (48_000, 2)] {
                let samples = &samples[..samples.len() / 2 * 2];
                let file = encoded(rate, channels, samples, 322);
                let (found, found_channels, found_samples) = decoded(&file);
                assert_eq!((found, found_channels), (rate, u32::from(channels)));
                assert!(found_samples == samples, "{rate} {channels}");
                assert!(file.len() < samples.len() * 2 + samples.len() / 50 + 100);
            }
        }
        let tone: Vec<i16> = (0..80_000).map(|at| ((f64::from(at) * 0.2).sin() * 3000.0) as i16).collect();
        assert!(encoded(8_000, 1, &tone, 160).len() < tone.len());
    }

    #[test]
    fn a_file_that_was_cut_off_plays_up_to_there() {
        let samples: Vec<i16> = (0..80_000).map(|at| ((f64::from(at) * 0.1).sin() * 9000.0) as i16).collect();
        let file = encoded(8_000, 1, &samples, 160);
        let (_, _, found) = decoded(&file[..file.len() / 2]);
        assert!(found.len() > 35_000);
        assert_eq!(found, samples[..found.len()]);
    }

    #[test]
    fn frame_numbers_grow_as_utf_8_does() {
        for (number, bytes) in [
            (0, &[0][..]),
            (0x7F, &[0x7F]),
            (0x80, &[0xC2, 0x80]),
            (0x7FF, &[0xDF, 0xBF]),
            (0x800, &[0xE0, 0xA0, 0x80]),
            (0xFFFF, &[0xEF, 0xBF, 0xBF]),
            (0x1_0000, &[0xF0, 0x90, 0x80, 0x80]),
        ] {
            let mut out = Vec::new();
            coded_number(number, &mut out);
            assert_eq!(out, bytes, "{number:#x}");
        }
    }
}
