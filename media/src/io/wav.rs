//! WAV: 16-bit PCM behind a header that is written again as the file grows.

/// Bytes before the first sample.
pub(super) const HEADER: usize = 44;
/// Bytes of samples that the 32-bit lengths of RIFF allow; more than 37 hours of stereo at 8 kHz.
pub(super) const MAX_BYTES: u64 = u32::MAX as u64 - 64;

/// Header of a file with so many frames (one sample of each channel).
pub(super) fn header(rate: u32, channels: u16, frames: u64) -> [u8; HEADER] {
    let align = channels * 2;
    let bytes = (frames * u64::from(align)).min(MAX_BYTES) as u32;
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&(bytes + HEADER as u32 - 8).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    header[20..22].copy_from_slice(&1u16.to_le_bytes());
    header[22..24].copy_from_slice(&channels.to_le_bytes());
    header[24..28].copy_from_slice(&rate.to_le_bytes());
    header[28..32].copy_from_slice(&(rate * u32::from(align)).to_le_bytes());
    header[32..34].copy_from_slice(&align.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&bytes.to_le_bytes());
    header
}
