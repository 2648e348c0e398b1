//! Encryption and authentication of one packet with session keys; indices are the caller's.

use aes::{
    Aes128Enc, Aes256Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use aes_gcm::{AesGcm, aead::AeadInOut};
use hmac::{Hmac, Mac, digest::consts::U12};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::{
    ENCRYPTED, INDEX_LEN, MasterKey, RTCP_HEADER, SrtpError, Suite,
    key_derivation::{Label, derive},
};

/// The session keys of one direction.
#[derive(Clone)]
pub(super) enum Cipher {
    CounterMode { rtp: CounterMode, rtcp: CounterMode, rtp_tag: usize },
    Gcm128 { rtp: Gcm<Aes128Enc>, rtcp: Gcm<Aes128Enc> },
    Gcm256 { rtp: Gcm<Aes256Enc>, rtcp: Gcm<Aes256Enc> },
}

/// RFC 3711 §4.1.1 and §4.2.1.
#[derive(Clone)]
pub(super) struct CounterMode {
    aes: Aes128Enc,
    /// Has taken in its key.
    mac: Hmac<Sha1>,
    salt: [u8; 14],
}

/// RFC 7714.
#[derive(Clone)]
pub(super) struct Gcm<Aes> {
    gcm: AesGcm<Aes, U12>,
    salt: [u8; 12],
}

impl Cipher {
    pub(super) fn new(master: &MasterKey) -> Self {
        use Label::{
            RtcpAuthentication, RtcpEncryption, RtcpSalt, RtpAuthentication, RtpEncryption, RtpSalt,
        };
        match master.suite() {
            suite @ (Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32) => Self::CounterMode {
                rtp: CounterMode::new(master, RtpEncryption, RtpAuthentication, RtpSalt),
                rtcp: CounterMode::new(master, RtcpEncryption, RtcpAuthentication, RtcpSalt),
                rtp_tag: suite.rtp_overhead(),
            },
            Suite::AeadAes128Gcm => Self::Gcm128 {
                rtp: gcm128(master, RtpEncryption, RtpSalt),
                rtcp: gcm128(master, RtcpEncryption, RtcpSalt),
            },
            Suite::AeadAes256Gcm => Self::Gcm256 {
                rtp: gcm256(master, RtpEncryption, RtpSalt),
                rtcp: gcm256(master, RtcpEncryption, RtcpSalt),
            },
        }
    }

    /// Encrypts what follows the header and writes the tag. `packet` ends where the tag ends.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) {
        let rollovers = (index >> 16) as u32;
        match self {
            Self::CounterMode { rtp, rtp_tag, .. } => {
                let (message, tag) = packet.split_at_mut(packet.len() - rtp_tag);
                rtp.apply(ssrc, index, &mut message[header..]);
                tag.copy_from_slice(&rtp.tag(message, rollovers)[..*rtp_tag]);
            }
            Self::Gcm128 { rtp, .. } => rtp.seal(packet, header, &rtp.rtp_nonce(ssrc, index)),
            Self::Gcm256 { rtp, .. } => rtp.seal(packet, header, &rtp.rtp_nonce(ssrc, index)),
        }
    }

    /// Checks the tag at the end of `packet`, decrypts and returns the length without the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: u32,
        index: u64,
        mki: usize,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::CounterMode { rtp, rtp_tag, .. } => {
                let end = packet.len().checked_sub(*rtp_tag).ok_or(SrtpError::Malformed)?;
                let length = end.checked_sub(mki).filter(|end| *end >= header).ok_or(SrtpError::Malformed)?;
                let expected = rtp.tag(&packet[..length], (index >> 16) as u32);
                verify(&expected[..*rtp_tag], &packet[end..])?;
                rtp.apply(ssrc, index, &mut packet[header..length]);
                Ok(length)
            }
            Self::Gcm128 { rtp, .. } => rtp.open(packet, header, mki, &rtp.rtp_nonce(ssrc, index)),
            Self::Gcm256 { rtp, .. } => rtp.open(packet, header, mki, &rtp.rtp_nonce(ssrc, index)),
        }
    }

    /// Encrypts a compound packet of `length` bytes and writes index and tag, up to the end of `packet`.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], length: usize, ssrc: u32, index: u32) {
        let word = (index | ENCRYPTED).to_be_bytes();
        match self {
            // RFC 3711 §3.4: the index stands before the tag and is authenticated.
            Self::CounterMode { rtcp, .. } => {
                rtcp.apply(ssrc, index.into(), &mut packet[RTCP_HEADER..length]);
                packet[length..length + INDEX_LEN].copy_from_slice(&word);
                let (message, tag) = packet.split_at_mut(length + INDEX_LEN);
                tag.copy_from_slice(&rtcp.mac(&[message])[..tag.len()]);
            }
            Self::Gcm128 { rtcp, .. } => rtcp.seal_rtcp(packet, ssrc, index, word),
            Self::Gcm256 { rtcp, .. } => rtcp.seal_rtcp(packet, ssrc, index, word),
        }
    }

    /// Where the E bit and the index stand.
    pub(super) fn rtcp_index_at(&self, length: usize, mki: usize) -> Option<usize> {
        match self {
            Self::CounterMode { .. } => length.checked_sub(RTCP_TAG + mki + INDEX_LEN),
            Self::Gcm128 { .. } | Self::Gcm256 { .. } => length.checked_sub(mki + INDEX_LEN),
        }
    }

    /// Checks and decrypts; `at` is where the index stands. Returns the length of the compound packet.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        at: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::CounterMode { rtcp, .. } => {
                let tag = packet.len().checked_sub(RTCP_TAG).ok_or(SrtpError::Malformed)?;
                let expected = rtcp.mac(&[&packet[..at + INDEX_LEN]]);
                verify(&expected[..RTCP_TAG], &packet[tag..])?;
                rtcp.apply(ssrc, index.into(), &mut packet[RTCP_HEADER..at]);
                Ok(at)
            }
            Self::Gcm128 { rtcp, .. } => rtcp.open_rtcp(packet, at, ssrc, index),
            Self::Gcm256 { rtcp, .. } => rtcp.open_rtcp(packet, at, ssrc, index),
        }
    }
}

impl CounterMode {
    fn new(master: &MasterKey, encryption: Label, authentication: Label, salt: Label) -> Self {
        let mut key: [u8; 16] = derive(master, encryption);
        let mut mac_key: [u8; 20] = derive(master, authentication);
        let made = Self {
            aes: Aes128Enc::new(&key.into()),
            mac: Hmac::new_from_slice(&mac_key).expect("HMAC takes keys of any length"),
            salt: derive(master, salt),
        };
        key.zeroize();
        mac_key.zeroize();
        made
    }

    /// Adds the key stream, which begins at (salt · 2^16) XOR (SSRC · 2^64) XOR (index · 2^16).
    fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let mut start = [0; 16];
        start[..14].copy_from_slice(&self.salt);
        xor(&mut start[4..8], &ssrc.to_be_bytes());
        xor(&mut start[8..14], &index.to_be_bytes()[2..]);
        let start = u128::from_be_bytes(start);
        for (number, part) in data.chunks_mut(16 * BLOCKS).enumerate() {
            let mut blocks = [Block::default(); BLOCKS];
            let blocks = &mut blocks[..part.len().div_ceil(16)];
            for (offset, block) in blocks.iter_mut().enumerate() {
                *block = (start | (number * BLOCKS + offset) as u128).to_be_bytes().into();
            }
            self.aes.encrypt_blocks(blocks);
            for (part, block) in part.chunks_mut(16).zip(blocks) {
                xor(part, block);
            }
        }
    }

    fn tag(&self, message: &[u8], rollovers: u32) -> [u8; 20] {
        self.mac(&[message, &rollovers.to_be_bytes()])
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = self.mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl<Aes> Gcm<Aes>
where
    AesGcm<Aes, U12>: AeadInOut<NonceSize = U12, TagSize = aes::cipher::consts::U16>,
{
    /// RFC 7714 §8.1: two zero bytes, SSRC, rollover counter and sequence number, XOR the salt.
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut nonce = self.salt;
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
        nonce
    }

    /// RFC 7714 §9.1: two zero bytes, SSRC, two zero bytes and the index, XOR the salt.
    fn rtcp_nonce(&self, ssrc: u32, index: u32) -> [u8; 12] {
        let mut nonce = self.salt;
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[8..12], &index.to_be_bytes());
        nonce
    }

    fn seal(&self, packet: &mut [u8], header: usize, nonce: &[u8; 12]) {
        let (message, room) = packet.split_at_mut(packet.len() - GCM_TAG);
        let (associated, body) = message.split_at_mut(header);
        let tag = self.gcm.encrypt_inout_detached(nonce.into(), associated, body.into());
        room.copy_from_slice(&tag.expect("a packet is shorter than 64 GiB"));
    }

    fn open(
        &self,
        packet: &mut [u8],
        header: usize,
        mki: usize,
        nonce: &[u8; 12],
    ) -> Result<usize, SrtpError> {
        let end = packet.len().checked_sub(mki).ok_or(SrtpError::Malformed)?;
        let length = end.checked_sub(GCM_TAG).filter(|end| *end >= header).ok_or(SrtpError::Malformed)?;
        let (message, rest) = packet.split_at_mut(length);
        let (associated, body) = message.split_at_mut(header);
        let tag = rest.first_chunk::<GCM_TAG>().ok_or(SrtpError::Malformed)?;
        self.gcm
            .decrypt_inout_detached(nonce.into(), associated, body.into(), tag.into())
            .map_err(|_| SrtpError::Unauthenticated)?;
        Ok(length)
    }

    /// RFC 7714 §9.3: header and index are authenticated, the tag stands before the index.
    fn seal_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32, word: [u8; INDEX_LEN]) {
        let (message, room) = packet.split_at_mut(packet.len() - GCM_TAG - INDEX_LEN);
        let (header, body) = message.split_at_mut(RTCP_HEADER);
        let associated = associated(header, word);
        let nonce = self.rtcp_nonce(ssrc, index);
        let tag = self.gcm.encrypt_inout_detached((&nonce).into(), &associated, body.into());
        room[..GCM_TAG].copy_from_slice(&tag.expect("a packet is shorter than 64 GiB"));
        room[GCM_TAG..].copy_from_slice(&word);
    }

    fn open_rtcp(&self, packet: &mut [u8], at: usize, ssrc: u32, index: u32) -> Result<usize, SrtpError> {
        let length = at.checked_sub(GCM_TAG).filter(|end| *end >= RTCP_HEADER).ok_or(SrtpError::Malformed)?;
        let (message, rest) = packet.split_at_mut(length);
        let (header, body) = message.split_at_mut(RTCP_HEADER);
        let associated = associated(header, (index | ENCRYPTED).to_be_bytes());
        let tag = rest.first_chunk::<GCM_TAG>().ok_or(SrtpError::Malformed)?;
        let nonce = self.rtcp_nonce(ssrc, index);
        self.gcm
            .decrypt_inout_detached((&nonce).into(), &associated, body.into(), tag.into())
            .map_err(|_| SrtpError::Unauthenticated)?;
        Ok(length)
    }
}

fn gcm128(master: &MasterKey, encryption: Label, salt: Label) -> Gcm<Aes128Enc> {
    let mut key: [u8; 16] = derive(master, encryption);
    let made = Gcm { gcm: Aes128Enc::new(&key.into()).into(), salt: derive(master, salt) };
    key.zeroize();
    made
}

fn gcm256(master: &MasterKey, encryption: Label, salt: Label) -> Gcm<Aes256Enc> {
    let mut key: [u8; 32] = derive(master, encryption);
    let made = Gcm { gcm: Aes256Enc::new(&key.into()).into(), salt: derive(master, salt) };
    key.zeroize();
    made
}

fn associated(header: &[u8], word: [u8; INDEX_LEN]) -> [u8; RTCP_HEADER + INDEX_LEN] {
    let mut associated = [0; RTCP_HEADER + INDEX_LEN];
    associated[..RTCP_HEADER].copy_from_slice(header);
    associated[RTCP_HEADER..].copy_from_slice(&word);
    associated
}

/// Compares without telling by time where the first difference is.
fn verify(expected: &[u8], found: &[u8]) -> Result<(), SrtpError> {
    if expected.ct_eq(found).into() { Ok(()) } else { Err(SrtpError::Unauthenticated) }
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    bytes.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}

/// RFC 4568 §6.2.2: 80 bits also where those of RTP have 32.
const RTCP_TAG: usize = 10;

const GCM_TAG: usize = 16;

/// Blocks encrypted at a time: a packet of 20 ms of G.711 at 10 blocks needs one round.
const BLOCKS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_key_stream_is_that_of_rfc_3711_b_2() {
        let key: [u8; 16] = hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap();
        let salt: [u8; 14] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let cipher = CounterMode {
            aes: Aes128Enc::new(&key.into()),
            mac: Hmac::new_from_slice(&[0; 20]).unwrap(),
            salt,
        };
        let mut stream = vec![0; 16 * 0xFF02];
        cipher.apply(0, 0, &mut stream);
        let first = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB \
                     41E95B3BB0A2E8DD477901E4FCA894C0";
        let last = "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE \
                    6A2CC3787889374FBEB4C81B17BA6C44";
        assert_eq!(stream[..48].to_vec(), hex(first));
        assert_eq!(stream[16 * 0xFEFF..].to_vec(), hex(last));
    }

    fn salt() -> [u8; 12] {
        *b"Quid pro quo"
    }

    fn quid_128() -> Gcm<Aes128Enc> {
        let key: [u8; 16] = std::array::from_fn(|byte| byte as u8);
        Gcm { gcm: Aes128Enc::new(&key.into()).into(), salt: salt() }
    }

    fn quid_256() -> Gcm<Aes256Enc> {
        let key: [u8; 32] = std::array::from_fn(|byte| byte as u8);
        Gcm { gcm: Aes256Enc::new(&key.into()).into(), salt: salt() }
    }

    fn check_rtp<Aes>(gcm: &Gcm<Aes>, sealed: &str)
    where
        AesGcm<Aes, U12>: AeadInOut<NonceSize = U12, TagSize = aes::cipher::consts::U16>,
    {
        let plain = hex(RTP);
        let nonce = gcm.rtp_nonce(0x5501_A0B2, 0xF17B);
        assert_eq!(nonce.to_vec(), hex("51753c6580c2726f20718414"));
        let mut packet = [plain.clone(), vec![0; 16]].concat();
        gcm.seal(&mut packet, 12, &nonce);
        assert_eq!(packet[12..].to_vec(), hex(sealed));
        assert_eq!(gcm.open(&mut packet, 12, 0, &nonce), Ok(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }

    fn check_rtcp<Aes>(gcm: &Gcm<Aes>, sealed: &str)
    where
        AesGcm<Aes, U12>: AeadInOut<NonceSize = U12, TagSize = aes::cipher::consts::U16>,
    {
        let plain = hex(RTCP);
        let (ssrc, index) = (0x4D61_7273, 0x5D4);
        let mut packet = [plain.clone(), vec![0; 20]].concat();
        gcm.seal_rtcp(&mut packet, ssrc, index, (index | ENCRYPTED).to_be_bytes());
        assert_eq!(packet[8..].to_vec(), hex(sealed));
        let at = packet.len() - 4;
        assert_eq!(gcm.open_rtcp(&mut packet, at, ssrc, index), Ok(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }

    #[test]
    fn rtp_is_sealed_as_in_rfc_7714_16() {
        check_rtp(
            &quid_128(),
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee439\
             0cce",
        );
        check_rtp(
            &quid_256(),
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a7\
             6c13",
        );
    }

    #[test]
    fn rtcp_is_sealed_as_in_rfc_7714_17() {
        check_rtcp(
            &quid_128(),
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2f\
             c5abf87245d9eade800005d4",
        );
        check_rtcp(
            &quid_256(),
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f\
             57ff6f6cb26ac3be800005d4",
        );
    }

    /// "Gallia est omnis divisa in partes tres".
    const RTP: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361\
                       20696e207061727465732074726573";

    const RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
                        deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
}
