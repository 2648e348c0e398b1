//! L16: samples as they are, in network order (RFC 3551 §4.5.11).

pub(super) fn encode(samples: &[i16], out: &mut [u8]) -> usize {
    out.as_chunks_mut().0.iter_mut().zip(samples).map(|(bytes, sample)| *bytes = sample.to_be_bytes()).count()
        * 2
}

pub(super) fn decode(payload: &[u8], out: &mut [i16]) -> usize {
    out.iter_mut()
        .zip(payload.as_chunks().0)
        .map(|(sample, &bytes)| *sample = i16::from_be_bytes(bytes))
        .count()
}
