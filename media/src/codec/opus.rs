//! Opus (RFC 6716), by the reference libopus in its Rust translation. One side is always mono: a stereo packet is
//! decoded to the mean of its channels.
//!
//! The state lives in memory of our own that is set aside once. The library takes its scratch memory from the heap
//! while it encodes or decodes a packet and gives all of it back before it returns.
#![allow(unsafe_code, reason = "the translated library keeps the interface of C")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use unsafe_libopus::{
    OPUS_APPLICATION_VOIP, OPUS_BANDWIDTH_FULLBAND, OPUS_BANDWIDTH_MEDIUMBAND, OPUS_BANDWIDTH_NARROWBAND,
    OPUS_BANDWIDTH_SUPERWIDEBAND, OPUS_BANDWIDTH_WIDEBAND, OPUS_GET_LOOKAHEAD_REQUEST, OPUS_OK,
    OPUS_RESET_STATE, OPUS_SET_BITRATE_REQUEST, OPUS_SET_COMPLEXITY_REQUEST, OPUS_SET_DTX_REQUEST,
    OPUS_SET_INBAND_FEC_REQUEST, OPUS_SET_MAX_BANDWIDTH_REQUEST, OPUS_SET_PACKET_LOSS_PERC_REQUEST,
    OPUS_SET_SIGNAL_REQUEST, OPUS_SIGNAL_VOICE, OpusDecoder, OpusEncoder, opus_decode, opus_decoder_ctl_impl,
    opus_decoder_get_nb_samples, opus_decoder_get_size, opus_decoder_init, opus_encode,
    opus_encoder_ctl_impl, opus_encoder_get_size, opus_encoder_init, varargs,
};

use super::EncoderSettings;

/// Encodes one stream of mono speech.
#[derive(Clone)]
pub struct Encoder {
    /// An `OpusEncoder`: contiguous, without pointers into itself, so that a copy of the bytes is another encoder.
    state: Box<[u64]>,
    rate: u32,
    channels: u8,
    settings: EncoderSettings,
}

impl Encoder {
    /// An encoder of audio of `rate` samples per second: 8,000, 12,000, 16,000, 24,000 or 48,000, others are taken for
    /// 48,000.
    #[must_use]
    pub fn new(rate: u32, settings: EncoderSettings) -> Self {
        Self::with_channels(rate, 1, settings)
    }

    /// One or two channels, interleaved.
    pub(crate) fn with_channels(rate: u32, channels: u8, settings: EncoderSettings) -> Self {
        let channels = channels.clamp(1, 2);
        // SAFETY: it only computes.
        let size = unsafe { opus_encoder_get_size(channels.into()) };
        let mut encoder = Self { state: memory(size), rate: supported(rate), channels, settings };
        encoder.start();
        encoder
    }

    /// Samples of silence that a decoder gives before the first of what was encoded.
    #[cfg_attr(not(feature = "io"), expect(dead_code, reason = "only files need to know"))]
    pub(crate) fn lookahead(&mut self) -> usize {
        let (state, mut samples) = (self.pointer(), 0);
        // SAFETY: `state` was set up by opus_encoder_init; this request's argument is where the number goes.
        let told =
            unsafe { opus_encoder_ctl_impl(state, OPUS_GET_LOOKAHEAD_REQUEST, varargs!(&mut samples)) };
        debug_assert_eq!(told, OPUS_OK);
        samples.max(0) as usize
    }

    /// Samples per second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Encodes one packet and returns its bytes. 0: nothing is to be sent, as the speaker pauses, or because there is no
    /// packet of that length (2.5, 5, 10, 20, 40 and 60 ms) or no room for it.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let room = out.len().min(LONGEST_PACKET) as i32;
        let length = (samples.len() / usize::from(self.channels)) as i32;
        let state = self.pointer();
        let encode = || {
            // SAFETY: `state` was set up by opus_encoder_init, and both lengths are those of the slices.
            unsafe { opus_encode(state, samples.as_ptr(), length, out.as_mut_ptr(), room) }
        };
        let Ok(written) = catch_unwind(AssertUnwindSafe(encode)) else {
            self.start();
            return 0;
        };
        // RFC 7587 §3.1.3: a packet of one or two bytes says that nothing is sent.
        if written <= if self.settings.discontinuous { 2 } else { 0 } { 0 } else { written as usize }
    }

    /// How many of 100 packets get lost; with forward error correction, packets then carry their predecessor again.
    pub fn set_expected_loss(&mut self, percent: u8) {
        self.control(OPUS_SET_PACKET_LOSS_PERC_REQUEST, i32::from(percent.min(100)));
    }

    /// Continues as `other` would. `false`: that one has another rate.
    pub fn adopt(&mut self, other: &Self) -> bool {
        let same = self.rate == other.rate && self.channels == other.channels;
        if same {
            self.state.copy_from_slice(&other.state);
            self.settings = other.settings;
        }
        same
    }

    /// Forgets what came before.
    pub fn reset(&mut self) {
        let state = self.pointer();
        // SAFETY: `state` was set up by opus_encoder_init; this request has no argument.
        let reset = unsafe { opus_encoder_ctl_impl(state, OPUS_RESET_STATE, varargs!()) };
        debug_assert_eq!(reset, OPUS_OK);
    }

    fn start(&mut self) {
        let (state, rate, channels) = (self.pointer(), self.rate as i32, i32::from(self.channels));
        // SAFETY: the memory has the size and the alignment that the library asks for.
        let begun = unsafe { opus_encoder_init(state, rate, channels, OPUS_APPLICATION_VOIP) };
        debug_assert_eq!(begun, OPUS_OK);
        let settings = self.settings;
        let heard = self.rate.min(settings.peer_rate);
        let bit_rate = settings.bit_rate.unwrap_or_else(|| default_bit_rate(heard)).clamp(6_000, 510_000);
        self.control(OPUS_SET_BITRATE_REQUEST, bit_rate as i32);
        self.control(OPUS_SET_MAX_BANDWIDTH_REQUEST, bandwidth(heard));
        self.control(OPUS_SET_COMPLEXITY_REQUEST, i32::from(settings.complexity.min(10)));
        self.control(OPUS_SET_SIGNAL_REQUEST, OPUS_SIGNAL_VOICE);
        self.control(OPUS_SET_INBAND_FEC_REQUEST, i32::from(settings.forward_error_correction));
        self.control(OPUS_SET_DTX_REQUEST, i32::from(settings.discontinuous));
    }

    fn control(&mut self, request: i32, value: i32) {
        let state = self.pointer();
        // SAFETY: `state` was set up by opus_encoder_init; each of these requests has one number as its argument.
        let done = unsafe { opus_encoder_ctl_impl(state, request, varargs!(value)) };
        debug_assert_eq!(done, OPUS_OK, "request {request} with {value}");
    }

    fn pointer(&mut self) -> *mut OpusEncoder {
        self.state.as_mut_ptr().cast()
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opus encoder at {} Hz, {:?}", self.rate, self.settings)
    }
}

/// Decodes one stream to mono.
#[derive(Clone)]
pub struct Decoder {
    /// An `OpusDecoder`.
    state: Box<[u64]>,
    rate: u32,
}

impl Decoder {
    /// A decoder to audio of `rate` samples per second: 8,000, 12,000, 16,000, 24,000 or 48,000, others are taken for
    /// 48,000.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        // SAFETY: it only computes.
        let size = unsafe { opus_decoder_get_size(1) };
        let mut decoder = Self { state: memory(size), rate: supported(rate) };
        decoder.start();
        decoder
    }

    /// Samples per second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Decodes one packet and returns the samples. 0: it is damaged, or longer than `out`.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        if payload.is_empty() || payload.len() > LONGEST_PACKET {
            return 0;
        }
        let state = self.pointer();
        // SAFETY: `state` was set up by opus_decoder_init, the length is that of the slice.
        let samples = unsafe { opus_decoder_get_nb_samples(state, payload.as_ptr(), payload.len() as i32) };
        if samples <= 0 || samples as usize > out.len() {
            return 0;
        }
        self.run(payload, out, false)
    }

    /// Fills `out`, a multiple of 2.5 ms, with what may have been in a lost packet.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        self.run(&[], out, false) == out.len()
    }

    /// Fills `out` from the copy of the lost packet that the next one carries. `false`: it carries none.
    pub fn recover(&mut self, next_payload: &[u8], out: &mut [i16]) -> bool {
        carries_predecessor(next_payload) && self.run(next_payload, out, true) == out.len()
    }

    /// Forgets what came before.
    pub fn reset(&mut self) {
        let state = self.pointer();
        // SAFETY: `state` was set up by opus_decoder_init; this request has no argument.
        let reset = unsafe { opus_decoder_ctl_impl(state, OPUS_RESET_STATE, varargs!()) };
        debug_assert_eq!(reset, OPUS_OK);
    }

    /// An empty payload stands for a lost one.
    fn run(&mut self, payload: &[u8], out: &mut [i16], predecessor: bool) -> usize {
        let longest = self.rate as usize / 1000 * LONGEST_MS;
        // What is not a multiple of 2.5 ms is refused by the library.
        if out.is_empty() || (payload.is_empty() || predecessor) && out.len() > longest {
            return 0;
        }
        let state = self.pointer();
        let room = out.len().min(longest) as i32;
        let data = if payload.is_empty() { std::ptr::null() } else { payload.as_ptr() };
        let decode = || {
            // SAFETY: `state` was set up by opus_decoder_init, the lengths are those of the slices, and null is what
            // the library expects for a lost packet.
            unsafe {
                opus_decode(state, data, payload.len() as i32, out.as_mut_ptr(), room, i32::from(predecessor))
            }
        };
        let Ok(samples) = catch_unwind(AssertUnwindSafe(decode)) else {
            self.start();
            return 0;
        };
        samples.max(0) as usize
    }

    fn start(&mut self) {
        let (state, rate) = (self.pointer(), self.rate as i32);
        // SAFETY: the memory has the size and the alignment that the library asks for.
        let begun = unsafe { opus_decoder_init(state, rate, 1) };
        debug_assert_eq!(begun, OPUS_OK);
    }

    fn pointer(&mut self) -> *mut OpusDecoder {
        self.state.as_mut_ptr().cast()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opus decoder at {} Hz", self.rate)
    }
}

/// Length of a packet in samples at 48 kHz, whatever it was encoded from; `None` if it is malformed (RFC 6716 §3.1).
#[must_use]
pub fn samples_at_48k(payload: &[u8]) -> Option<u32> {
    let &[toc, ..] = payload else { return None };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 63),
    };
    let samples = frames * frame_samples(toc);
    (1..=48 * LONGEST_MS as u32).contains(&samples).then_some(samples)
}

/// Samples of one frame at 48 kHz (RFC 6716 §3.1, table 2).
fn frame_samples(toc: u8) -> u32 {
    let size = (toc >> 3) & 3;
    match toc >> 5 {
        // SILK: 10, 20, 40 and 60 ms.
        0..=2 => [480, 960, 1920, 2880][usize::from(size)],
        // Hybrid: 10 and 20 ms.
        3 => [480, 960][usize::from(size & 1)],
        // CELT: 2.5, 5, 10 and 20 ms.
        _ => 120 << size,
    }
}

/// RFC 6716 §4.2.3: the first bits of the first frame of SILK tell, for each 20 ms and channel, whether it is voice, and
/// then whether there is a copy of the frame before.
fn carries_predecessor(payload: &[u8]) -> bool {
    let &[toc, ..] = payload else { return false };
    if toc & 0x80 != 0 {
        return false;
    }
    let first = match toc & 3 {
        0 | 1 => 1,
        // A length of one or two bytes comes first.
        2 => {
            if payload.get(1).is_some_and(|&length| length >= 252) {
                3
            } else {
                2
            }
        }
        // How lengths and padding of many frames are told is not worth following: such packets are no speech of ours.
        _ => return false,
    };
    let Some(&flags) = payload.get(first) else { return false };
    let voice = (frame_samples(toc) / 960).max(1);
    let stereo = toc & 4 != 0;
    flags >> (7 - voice) & 1 != 0 || stereo && flags >> (6 - 2 * voice) & 1 != 0
}

fn supported(rate: u32) -> u32 {
    if matches!(rate, 8_000 | 12_000 | 16_000 | 24_000) { rate } else { 48_000 }
}

/// Bits per second for speech of that rate (RFC 7587 §3.1.1, the upper ends).
fn default_bit_rate(rate: u32) -> u32 {
    match rate {
        ..=8_000 => 16_000,
        8_001..=16_000 => 24_000,
        16_001..=24_000 => 32_000,
        _ => 40_000,
    }
}

fn bandwidth(rate: u32) -> i32 {
    match rate {
        ..=8_000 => OPUS_BANDWIDTH_NARROWBAND,
        8_001..=12_000 => OPUS_BANDWIDTH_MEDIUMBAND,
        12_001..=16_000 => OPUS_BANDWIDTH_WIDEBAND,
        16_001..=24_000 => OPUS_BANDWIDTH_SUPERWIDEBAND,
        _ => OPUS_BANDWIDTH_FULLBAND,
    }
}

fn memory(bytes: i32) -> Box<[u64]> {
    vec![0; (bytes.max(0) as usize).div_ceil(8)].into_boxed_slice()
}

/// Bytes: 48 frames and what tells them apart are far less.
const LONGEST_PACKET: usize = 4_000;

/// A packet holds 120 ms at most (RFC 6716 §3.2.5).
const LONGEST_MS: usize = 120;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dsp::{
        detect::tone_level,
        level::dbfs,
        tone::{ToneGenerator, ToneSpec},
    };

    fn tone(hz: f32, rate: u32, ms: usize) -> Vec<i16> {
        let mut samples = vec![0; rate as usize / 1000 * ms];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        samples
    }

    /// What is left of each lost frame depends on `repair`, which also gets the packet after it.
    fn through(
        encoder: &mut Encoder,
        rate: u32,
        samples: &[i16],
        lost: impl Fn(usize) -> bool,
        repair: impl Fn(&mut Decoder, &[u8], &mut [i16]) -> bool,
    ) -> Vec<i16> {
        let frame = encoder.rate() as usize / 50;
        let packets: Vec<Vec<u8>> = samples
            .chunks_exact(frame)
            .map(|frame| {
                let mut payload = vec![0; 500];
                let length = encoder.encode(frame, &mut payload);
                payload.truncate(length);
                payload
            })
            .collect();
        let mut decoder = Decoder::new(rate);
        let mut heard = Vec::new();
        for (number, packet) in packets.iter().enumerate() {
            let mut out = vec![0; rate as usize / 50];
            if lost(number) {
                let next = packets.get(number + 1).map_or(&[][..], Vec::as_slice);
                assert!(repair(&mut decoder, next, &mut out), "{number}");
            } else {
                assert_eq!(decoder.decode(packet, &mut out), out.len());
            }
            heard.extend(out);
        }
        heard
    }

    #[test]
    fn a_tone_keeps_its_level_between_all_rates() {
        for from in [8_000, 16_000, 48_000] {
            for to in [8_000, 16_000, 48_000] {
                let mut encoder = Encoder::new(from, EncoderSettings::default());
                let heard = through(&mut encoder, to, &tone(1000.0, from, 2000), |_| false, |_, _, _| false);
                assert_eq!(heard.len(), to as usize * 2);
                let middle = &heard[to as usize / 2..to as usize * 3 / 2];
                let level = tone_level(middle, to, 1000.0);
                assert!((level + 13.14).abs() < 1.0, "{from} to {to}: {level}");
                assert!((dbfs(middle) - level).abs() < 0.5, "{from} to {to}: noise");
            }
        }
    }

    #[test]
    fn packets_follow_the_bit_rate() {
        for (rate, bytes) in [(8_000, 40), (16_000, 60), (48_000, 100)] {
            let mut encoder = Encoder::new(rate, EncoderSettings::default());
            let mut seed = 5_u32;
            let mut total = 0;
            for _ in 0..50 {
                let frame: Vec<i16> = (0..rate / 50)
                    .map(|_| {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (seed >> 18) as i16
                    })
                    .collect();
                let mut payload = [0; 1000];
                total += encoder.encode(&frame, &mut payload);
                assert_eq!(samples_at_48k(&payload), Some(960));
            }
            assert!(total / 50 <= bytes * 5 / 4, "{rate}: {}", total / 50);
        }
    }

    #[test]
    fn every_packet_time_but_30_ms_is_encoded() {
        let mut encoder = Encoder::new(16_000, EncoderSettings::default());
        let mut decoder = Decoder::new(16_000);
        for ms in [10, 20, 40, 60] {
            let (mut payload, mut out) = ([0; 1000], [0; 960]);
            let length = encoder.encode(&tone(400.0, 16_000, ms), &mut payload);
            assert!(length > 0);
            assert_eq!(samples_at_48k(&payload[..length]), Some(48 * ms as u32));
            assert_eq!(decoder.decode(&payload[..length], &mut out), 16 * ms);
            assert_eq!(decoder.decode(&payload[..length], &mut out[..100]), 0, "no room");
        }
        assert_eq!(encoder.encode(&tone(400.0, 16_000, 30), &mut [0; 1000]), 0);
        assert_eq!(encoder.encode(&[], &mut [0; 1000]), 0);
        assert_eq!(encoder.encode(&tone(400.0, 16_000, 20), &mut []), 0);
    }

    #[test]
    fn what_follows_a_loss_recovers_it() {
        // A chirp, so that what is made up by continuing differs from what was said.
        let samples: Vec<i16> = (0..32_000)
            .map(|at| {
                let time = at as f64 / 16_000.0;
                ((time * (300.0 + 400.0 * (time * 5.0).sin()) * std::f64::consts::TAU).sin() * 8000.0) as i16
            })
            .collect();
        let lost = |number: usize| number % 10 == 7;
        let encoder = || {
            let mut encoder = Encoder::new(
                16_000,
                EncoderSettings { bit_rate: Some(32_000), ..EncoderSettings::default() },
            );
            encoder.set_expected_loss(20);
            encoder
        };
        let whole = through(&mut encoder(), 16_000, &samples, |_| false, |_, _, _| false);
        // A frame is carried twice if it matters.
        let copies = std::cell::Cell::new(0);
        let recovered = through(&mut encoder(), 16_000, &samples, lost, |decoder, next, out| {
            let recovered = decoder.recover(next, out);
            copies.set(copies.get() + u32::from(recovered));
            recovered || decoder.conceal(out)
        });
        assert!(copies.get() >= 8, "{}", copies.get());
        let concealed =
            through(&mut encoder(), 16_000, &samples, lost, |decoder, _, out| decoder.conceal(out));
        let error = |heard: &[i16]| -> f64 {
            heard.iter().zip(&whole).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        assert!(error(&recovered) * 2.0 < error(&concealed), "{} {}", error(&recovered), error(&concealed));
        // Without an expected loss nothing is carried twice.
        let mut plain = Encoder::new(16_000, EncoderSettings::default());
        let mut payload = [0; 500];
        for frame in samples.chunks_exact(320) {
            let length = plain.encode(frame, &mut payload);
            assert!(!Decoder::new(16_000).recover(&payload[..length], &mut [0; 320]));
        }
    }

    #[test]
    fn stereo_is_decoded_to_the_mean_of_both_channels() {
        let left = tone(1000.0, 48_000, 1000);
        let samples: Vec<i16> = left.iter().flat_map(|&sample| [sample, 0]).collect();
        // SAFETY: it only computes.
        let mut state = memory(unsafe { opus_encoder_get_size(2) });
        let state: *mut OpusEncoder = state.as_mut_ptr().cast();
        // SAFETY: the memory has the size that is asked for.
        unsafe { opus_encoder_init(state, 48_000, 2, OPUS_APPLICATION_VOIP) };
        let mut decoder = Decoder::new(48_000);
        let mut heard = Vec::new();
        for frame in samples.chunks_exact(1920) {
            let (mut payload, mut out) = ([0; 1000], [0; 960]);
            // SAFETY: 960 samples of two channels, and room for 1,000 bytes.
            let length = unsafe { opus_encode(state, frame.as_ptr(), 960, payload.as_mut_ptr(), 1000) };
            assert!(payload[0] & 4 != 0, "a stereo packet");
            assert_eq!(decoder.decode(&payload[..length as usize], &mut out), 960);
            heard.extend(out);
        }
        let level = tone_level(&heard[12_000..36_000], 48_000, 1000.0);
        assert!((level + 13.14 + 6.0).abs() < 1.0, "{level}");
    }

    #[test]
    fn pauses_are_not_sent_when_that_is_wanted() {
        let settings = EncoderSettings { discontinuous: true, ..EncoderSettings::default() };
        let mut encoder = Encoder::new(16_000, settings);
        let mut sent = 0;
        for _ in 0..100 {
            sent += usize::from(encoder.encode(&[0; 320], &mut [0; 500]) > 0);
        }
        assert!((1..40).contains(&sent), "{sent}");
        for frame in tone(500.0, 16_000, 200).chunks_exact(320) {
            assert!(encoder.encode(frame, &mut [0; 500]) > 2);
        }
    }

    #[test]
    fn an_encoder_goes_on_where_another_was() {
        let samples = tone(700.0, 16_000, 400);
        let mut first = Encoder::new(16_000, EncoderSettings::default());
        for frame in samples.chunks_exact(320) {
            first.encode(frame, &mut [0; 500]);
        }
        let mut second = Encoder::new(16_000, EncoderSettings::default());
        assert!(second.adopt(&first));
        let (mut a, mut b) = ([0; 500], [0; 500]);
        for frame in samples.chunks_exact(320) {
            assert_eq!(first.encode(frame, &mut a), second.encode(frame, &mut b));
            assert_eq!(a, b);
        }
        assert!(!second.adopt(&Encoder::new(48_000, EncoderSettings::default())));
        let (mut fresh, frame) = (Encoder::new(16_000, EncoderSettings::default()), &samples[..320]);
        second.reset();
        let length = fresh.encode(frame, &mut a);
        assert_eq!(second.encode(frame, &mut b), length);
        assert_eq!(a[..length], b[..length]);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_something_or_nothing(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20),
        ) {
            for rate in [8_000, 48_000] {
                let mut decoder = Decoder::new(rate);
                let mut out = vec![0; rate as usize * 12 / 100];
                for packet in &packets {
                    let samples = decoder.decode(packet, &mut out);
                    prop_assert!(samples <= out.len());
                    if samples > 0 {
                        prop_assert_eq!(samples_at_48k(packet).map(|at_48k| at_48k * (rate / 1000) / 48), Some(samples as u32));
                    }
                    decoder.recover(packet, &mut out[..rate as usize / 50]);
                    decoder.conceal(&mut out[..rate as usize / 100]);
                }
            }
        }

        #[test]
        fn a_damaged_packet_harms_nothing(at in 0_usize..60, bits in 1_u8..) {
            let mut encoder = Encoder::new(16_000, EncoderSettings::default());
            let mut decoder = Decoder::new(16_000);
            for frame in tone(900.0, 16_000, 200).chunks_exact(320) {
                let (mut payload, mut out) = ([0; 500], [0; 1920]);
                let length = encoder.encode(frame, &mut payload);
                payload[at % length] ^= bits;
                prop_assert!(decoder.decode(&payload[..length], &mut out) <= 1920);
            }
        }
    }
}
