//! What we protect another implementation opens, and the other way round.

use offhook_media::srtp::{KeySource, MasterKey, ReceiveContext, SendContext, SrtpError, Suite};
use rtc_srtp::{context::Context, crypto::default_provider, protection_profile::ProtectionProfile};

fn theirs(key: &MasterKey) -> Context {
    let profile = match key.suite() {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let provider = default_provider().expect("a provider of algorithms");
    Context::new(key.key(), key.salt(), profile, None, None, provider.crypto()).expect("a context")
}

fn rtp(sequence: u16, length: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0x00];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(0xDEAD_BEEF_u32.to_be_bytes());
    packet.extend((0..length).map(|byte| byte as u8 ^ sequence as u8));
    packet
}

fn numbered(step: u16) -> Vec<u8> {
    rtp(65_400_u16.wrapping_add(step), 20)
}

fn rtcp(words: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 201];
    packet.extend(words.to_be_bytes());
    packet.extend(0xDEAD_BEEF_u32.to_be_bytes());
    packet.extend((1..words).flat_map(u16::to_be_bytes).flat_map(|byte| [byte, 7]));
    packet
}

fn protect_rtp(context: &mut SendContext, packet: &[u8]) -> Vec<u8> {
    let mut bytes = [packet, &vec![0; context.suite().rtp_overhead()]].concat();
    context.protect_rtp(&mut bytes).expect("a packet in order");
    bytes
}

fn protect_rtcp(context: &mut SendContext, packet: &[u8]) -> Vec<u8> {
    let mut bytes = [packet, &vec![0; context.suite().rtcp_overhead()]].concat();
    context.protect_rtcp(&mut bytes).expect("a packet");
    bytes
}

fn open_rtp(context: &mut ReceiveContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut bytes = packet.to_vec();
    context.unprotect_rtp(&mut bytes).map(|length| bytes[..length].to_vec())
}

fn open_rtcp(context: &mut ReceiveContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut bytes = packet.to_vec();
    context.unprotect_rtcp(&mut bytes).map(|length| bytes[..length].to_vec())
}

fn each_suite(check: impl Fn(MasterKey)) {
    let mut source = KeySource::new([5; 32]);
    for suite in Suite::ALL {
        check(source.master_key(suite));
    }
}

#[test]
fn rtp_goes_both_ways_over_rollovers() {
    each_suite(|key| {
        let (mut send, mut receive) = (SendContext::new(&key), ReceiveContext::new(&key));
        let (mut their_send, mut their_receive) = (theirs(&key), theirs(&key));
        for step in 0..70_000_u32 {
            // Enough around both rollovers, little between.
            let sequence = 65_500_u32.wrapping_add(step) as u16;
            if step > 200 && !step.is_multiple_of(97) && !(65_400..65_700).contains(&step) {
                continue;
            }
            let plain = rtp(sequence, (step % 400) as usize);
            let secret = protect_rtp(&mut send, &plain);
            assert_eq!(their_receive.decrypt_rtp(&secret).expect("ours"), plain, "{} {step}", key.suite());
            let secret = their_send.encrypt_rtp(&plain).expect("a packet");
            assert_eq!(open_rtp(&mut receive, &secret), Ok(plain), "{} {step}", key.suite());
        }
    });
}

#[test]
fn rtcp_goes_both_ways() {
    each_suite(|key| {
        let (mut send, mut receive) = (SendContext::new(&key), ReceiveContext::new(&key));
        let (mut their_send, mut their_receive) = (theirs(&key), theirs(&key));
        for words in 1..60 {
            let plain = rtcp(words);
            let secret = protect_rtcp(&mut send, &plain);
            assert_eq!(their_receive.decrypt_rtcp(&secret).expect("ours"), plain, "{}", key.suite());
            let secret = their_send.encrypt_rtcp(&plain).expect("a packet");
            assert_eq!(open_rtcp(&mut receive, &secret), Ok(plain), "{}", key.suite());
        }
    });
}

#[test]
fn headers_with_sources_and_extensions_stay_readable() {
    each_suite(|key| {
        let mut plain = rtp(7, 0);
        plain[0] = 0x92;
        plain.extend([1, 2, 3, 4, 5, 6, 7, 8, 0xBE, 0xDE, 0, 1, 0x12, 9, 9, 9, 1, 2, 3, 4, 5]);
        let secret = protect_rtp(&mut SendContext::new(&key), &plain);
        assert_eq!(secret[..28], plain[..28]);
        assert_eq!(theirs(&key).decrypt_rtp(&secret).expect("ours"), plain);
        assert_eq!(open_rtp(&mut ReceiveContext::new(&key), &secret), Ok(plain));
    });
}

#[test]
fn replays_and_changed_packets_are_refused_and_change_nothing() {
    each_suite(|key| {
        let (mut send, mut receive) = (SendContext::new(&key), ReceiveContext::new(&key));
        let packets: Vec<_> = (0..200).map(|step| protect_rtp(&mut send, &numbered(step))).collect();
        for (step, packet) in packets.iter().enumerate() {
            for at in 0..packet.len() {
                let mut changed = packet.clone();
                changed[at] ^= 1 << (step % 8);
                assert!(open_rtp(&mut receive, &changed).is_err(), "{} byte {at}", key.suite());
            }
            for length in 0..packet.len() {
                assert!(open_rtp(&mut receive, &packet[..length]).is_err());
            }
            assert_eq!(open_rtp(&mut receive, packet), Ok(numbered(step as u16)));
            assert_eq!(open_rtp(&mut receive, packet), Err(SrtpError::Replayed));
            assert_eq!(open_rtp(&mut receive, &packets[step / 2]), Err(SrtpError::Replayed));
        }
        let report = protect_rtcp(&mut send, &rtcp(9));
        let mut changed = report.clone();
        for at in 0..report.len() {
            changed[at] ^= 0x10;
            assert!(open_rtcp(&mut receive, &changed).is_err(), "{} byte {at}", key.suite());
            changed[at] ^= 0x10;
        }
        assert_eq!(open_rtcp(&mut receive, &report), Ok(rtcp(9)));
        assert_eq!(open_rtcp(&mut receive, &report), Err(SrtpError::Replayed));
    });
}

#[test]
fn each_source_counts_its_own_rollovers() {
    let key = KeySource::new([1; 32]).master_key(Suite::AeadAes128Gcm);
    let mut receive = ReceiveContext::new(&key);
    let (mut one, mut two) = (SendContext::new(&key), SendContext::new(&key));
    for step in 0..40 {
        let plain = rtp(65_520_u16.wrapping_add(step), 10);
        assert_eq!(open_rtp(&mut receive, &protect_rtp(&mut one, &plain)), Ok(plain));
        let mut other = rtp(step, 10);
        other[8] ^= 1;
        assert_eq!(open_rtp(&mut receive, &protect_rtp(&mut two, &other)), Ok(other));
    }
}

#[test]
fn packets_may_overtake_one_another_around_a_rollover() {
    each_suite(|key| {
        let (mut send, mut receive) = (SendContext::new(&key), ReceiveContext::new(&key));
        let plain: Vec<_> = (0..100).map(|step| rtp(65_500_u16.wrapping_add(step), 4)).collect();
        let packets: Vec<_> = plain.iter().map(|plain| protect_rtp(&mut send, plain)).collect();
        for pair in (0..100).step_by(2) {
            for at in [pair + 1, pair] {
                // The very first packet of a stream stands at its beginning, so nothing lies before its rollover.
                assert_eq!(open_rtp(&mut receive, &packets[at]).as_ref(), Ok(&plain[at]), "{at}");
            }
        }
    });
}

#[test]
fn a_number_is_never_used_twice() {
    let key = KeySource::new([1; 32]).master_key(Suite::AesCm128HmacSha1_32);
    let mut send = SendContext::new(&key);
    protect_rtp(&mut send, &rtp(100, 4));
    let mut again = [rtp(100, 4), vec![0; 4]].concat();
    let before = again.clone();
    assert_eq!(send.protect_rtp(&mut again), Err(SrtpError::Replayed));
    again[3] = 99;
    assert_eq!(send.protect_rtp(&mut again), Err(SrtpError::Replayed));
    again[3] = before[3];
    assert_eq!(again, before);
}

#[test]
fn a_master_key_identifier_is_passed_over() {
    each_suite(|key| {
        let (plain, report) = (rtp(5, 30), rtcp(4));
        let mut send = SendContext::new(&key);
        let (packet, compound) = (protect_rtp(&mut send, &plain), protect_rtcp(&mut send, &report));
        let mut receive = ReceiveContext::new(&key.clone().with_mki_length(2));
        let gcm = matches!(key.suite(), Suite::AeadAes128Gcm | Suite::AeadAes256Gcm);
        // RFC 3711 §3.1 and §3.4: before the tag; RFC 7714 §8.3, §9: after everything.
        let (at, at_report) =
            if gcm { (0, 0) } else { (key.suite().rtp_overhead(), key.suite().rtcp_overhead() - 4) };
        let with = |packet: &[u8], tag: usize| {
            let (body, tag) = packet.split_at(packet.len() - tag);
            [body, &[0, 1], tag].concat()
        };
        assert_eq!(open_rtp(&mut receive, &with(&packet, at)), Ok(plain));
        assert_eq!(open_rtcp(&mut receive, &with(&compound, at_report)), Ok(report));
    });
}
