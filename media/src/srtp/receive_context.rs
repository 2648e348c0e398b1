//! What arrives: whose packet, which index, whether genuine, whether new.

use std::fmt;

use super::{
    ENCRYPTED, MAX_RTP_INDEX, MasterKey, RTCP_HEADER, SrtpError, Suite, be16, be32, cipher::Cipher,
    header_length, replay_window::ReplayWindow,
};

/// Checks and opens the packets of one peer, per SSRC.
///
/// A packet that is refused changes nothing.
#[derive(Clone)]
pub struct ReceiveContext {
    suite: Suite,
    mki: usize,
    cipher: Cipher,
    streams: [Option<Stream>; STREAMS],
    /// Counts packets, to know which stream was heard longest ago.
    turn: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    ssrc: u32,
    rtp: Option<ReplayWindow>,
    rtcp: Option<ReplayWindow>,
    heard: u64,
}

impl ReceiveContext {
    /// Begins with rollover counter 0 for every SSRC.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self {
            suite: key.suite(),
            mki: key.mki_length(),
            cipher: Cipher::new(key),
            streams: [None; STREAMS],
            turn: 0,
        }
    }

    /// What the peer protects with.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Opens a datagram in place; the RTP packet is at its start and has the length returned.
    ///
    /// # Errors
    /// The packet is not to be used.
    pub fn unprotect_rtp(&mut self, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        let overhead = self.suite.rtp_overhead() + self.mki;
        let length = datagram.len().checked_sub(overhead).ok_or(SrtpError::Malformed)?;
        let header = header_length(&datagram[..length]).ok_or(SrtpError::Malformed)?;
        let (Some(sequence), Some(ssrc)) = (be16(datagram, 2), be32(datagram, 8)) else {
            return Err(SrtpError::Malformed);
        };
        let window = self.stream(ssrc).and_then(|stream| stream.rtp);
        let index = match window {
            Some(window) => estimate(window.highest(), sequence).ok_or(SrtpError::Replayed)?,
            None => u64::from(sequence),
        };
        if window.is_some_and(|window| !window.admits(index)) {
            return Err(SrtpError::Replayed);
        }
        let length = self.cipher.open_rtp(datagram, header, ssrc, index, self.mki)?;
        record(&mut self.claim(ssrc).rtp, index);
        Ok(length)
    }

    /// Opens a datagram in place; the compound packet is at its start and has the length returned.
    ///
    /// # Errors
    /// The packet is not to be used.
    pub fn unprotect_rtcp(&mut self, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        let at = self.cipher.rtcp_index_at(datagram.len(), self.mki).filter(|at| *at >= RTCP_HEADER);
        let (Some(at), Some(ssrc)) = (at, be32(datagram, 4)) else { return Err(SrtpError::Malformed) };
        let word = be32(datagram, at).ok_or(SrtpError::Malformed)?;
        // Encryption was agreed upon.
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::Unauthenticated);
        }
        let index = word & !ENCRYPTED;
        let window = self.stream(ssrc).and_then(|stream| stream.rtcp);
        if window.is_some_and(|window| !window.admits(index.into())) {
            return Err(SrtpError::Replayed);
        }
        let length = self.cipher.open_rtcp(datagram, at, ssrc, index)?;
        record(&mut self.claim(ssrc).rtcp, index.into());
        Ok(length)
    }

    fn stream(&self, ssrc: u32) -> Option<&Stream> {
        self.streams.iter().flatten().find(|stream| stream.ssrc == ssrc)
    }

    /// The place of a stream that was just authenticated; a new one takes that of the one silent for longest.
    fn claim(&mut self, ssrc: u32) -> &mut Stream {
        self.turn += 1;
        let known = self.streams.iter().position(|stream| stream.is_some_and(|stream| stream.ssrc == ssrc));
        let place = known.unwrap_or_else(|| {
            let heard = |place: &usize| self.streams[*place].map_or(0, |stream| stream.heard);
            (0..STREAMS).min_by_key(heard).unwrap_or(0)
        });
        let slot = &mut self.streams[place];
        let mut stream = slot.filter(|stream| stream.ssrc == ssrc).unwrap_or(Stream {
            ssrc,
            rtp: None,
            rtcp: None,
            heard: 0,
        });
        stream.heard = self.turn;
        slot.insert(stream)
    }
}

impl fmt::Debug for ReceiveContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiveContext({}, …)", self.suite)
    }
}

fn record(window: &mut Option<ReplayWindow>, index: u64) {
    match window {
        Some(window) => window.record(index),
        None => *window = Some(ReplayWindow::new(index)),
    }
}

/// RFC 3711 §3.3.1 and appendix A: the index nearest to the highest one. `None`: it lies before the first rollover.
fn estimate(highest: u64, sequence: u16) -> Option<u64> {
    let ahead = i64::from(sequence.wrapping_sub(highest as u16) as i16);
    highest.checked_add_signed(ahead).filter(|index| *index <= MAX_RTP_INDEX)
}

/// Streams of one peer that are remembered. Who changes its SSRC more often than that while others go on has its oldest
/// one forgotten.
const STREAMS: usize = 8;
