//! What leaves: numbering over rollovers, encryption, tags.

use std::fmt;

use super::{
    INDEX_LEN, MAX_RTCP_INDEX, MAX_RTP_INDEX, MasterKey, RTCP_HEADER, SrtpError, Suite, be16, be32,
    cipher::Cipher, header_length,
};

/// Protects the packets of one sender.
#[derive(Clone)]
pub struct SendContext {
    suite: Suite,
    cipher: Cipher,
    /// SSRC of the stream and index of its last packet.
    stream: Option<(u32, u64)>,
    rtcp_index: u32,
}

impl SendContext {
    /// Begins with rollover counter 0 and RTCP index 0. A key must not be used in two contexts.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self { suite: key.suite(), cipher: Cipher::new(key), stream: None, rtcp_index: 0 }
    }

    /// What it protects with.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Protects the RTP packet at the start of `bytes`; the last [`Suite::rtp_overhead`] bytes are room for the tag.
    /// Packets must come in the order of their sequence numbers, so that no number is ever used twice.
    ///
    /// # Errors
    /// The packet is left as it was.
    pub fn protect_rtp(&mut self, bytes: &mut [u8]) -> Result<(), SrtpError> {
        let length = bytes.len().checked_sub(self.suite.rtp_overhead()).ok_or(SrtpError::Malformed)?;
        let header = header_length(&bytes[..length]).ok_or(SrtpError::Malformed)?;
        let (Some(sequence), Some(ssrc)) = (be16(bytes, 2), be32(bytes, 8)) else {
            return Err(SrtpError::Malformed);
        };
        let index = match self.stream {
            Some((known, last)) if known == ssrc => {
                let step = sequence.wrapping_sub(last as u16);
                if step == 0 || step > u16::MAX / 2 {
                    return Err(SrtpError::Replayed);
                }
                last + u64::from(step)
            }
            Some(_) | None => u64::from(sequence),
        };
        if index > MAX_RTP_INDEX {
            return Err(SrtpError::Exhausted);
        }
        self.cipher.seal_rtp(bytes, header, ssrc, index);
        self.stream = Some((ssrc, index));
        Ok(())
    }

    /// Protects the compound packet at the start of `bytes`; the last [`Suite::rtcp_overhead`] bytes are room for
    /// index and tag.
    ///
    /// # Errors
    /// The packet is left as it was.
    pub fn protect_rtcp(&mut self, bytes: &mut [u8]) -> Result<(), SrtpError> {
        let length = bytes.len().checked_sub(self.suite.rtcp_overhead()).ok_or(SrtpError::Malformed)?;
        let ssrc = be32(bytes, RTCP_HEADER - INDEX_LEN).ok_or(SrtpError::Malformed)?;
        if length < RTCP_HEADER {
            return Err(SrtpError::Malformed);
        }
        if self.rtcp_index == MAX_RTCP_INDEX {
            return Err(SrtpError::Exhausted);
        }
        // RFC 3711 §3.2.1: the index of the first packet may be 0 or 1; others count from 1.
        self.rtcp_index += 1;
        self.cipher.seal_rtcp(bytes, length, ssrc, self.rtcp_index);
        Ok(())
    }
}

impl fmt::Debug for SendContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendContext({}, …)", self.suite)
    }
}
