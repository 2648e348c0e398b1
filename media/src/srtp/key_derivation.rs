//! Session keys from master keys (RFC 3711 §4.3, RFC 7714 §11).

use aes::{
    Aes128Enc, Aes256Enc,
    cipher::{BlockCipherEncrypt, KeyInit, consts::U16},
};

use super::MasterKey;

/// What a session key is for (RFC 3711 §4.3.1, §4.3.2).
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// The first `N` bytes of the key with that label. The key derivation rate is 0: one key for all packets.
pub(super) fn derive<const N: usize>(master: &MasterKey, label: Label) -> [u8; N] {
    let mut key = [0; N];
    match <[u8; 16]>::try_from(master.key()) {
        Ok(short) => stream(&Aes128Enc::new(&short.into()), master.salt(), label, &mut key),
        Err(_) => {
            let long = <[u8; 32]>::try_from(master.key()).expect("keys have 16 or 32 bytes");
            stream(&Aes256Enc::new(&long.into()), master.salt(), label, &mut key);
        }
    }
    key
}

/// AES in counter mode from (salt XOR label · 2^48) · 2^16 on; shorter salts have zeros at their end.
fn stream(aes: &impl BlockCipherEncrypt<BlockSize = U16>, salt: &[u8], label: Label, out: &mut [u8]) {
    let mut start = [0; 16];
    start[..salt.len()].copy_from_slice(salt);
    start[7] ^= label as u8;
    for (number, part) in out.chunks_mut(16).enumerate() {
        let counter = number as u16;
        start[14..].copy_from_slice(&counter.to_be_bytes());
        let mut block = start.into();
        aes.encrypt_block(&mut block);
        part.copy_from_slice(&block[..part.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Suite;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn keys_are_those_of_rfc_3711_b_3() {
        let master = hex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6");
        let master = MasterKey::new(Suite::AesCm128HmacSha1_80, &master).unwrap();
        let cipher: [u8; 16] = derive(&master, Label::RtpEncryption);
        assert_eq!(cipher.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let salt: [u8; 14] = derive(&master, Label::RtpSalt);
        assert_eq!(salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let auth: [u8; 94] = derive(&master, Label::RtpAuthentication);
        let expected = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF7\
                        2270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DB\
                        DFB2";
        assert_eq!(auth.to_vec(), hex(expected));
    }
}
