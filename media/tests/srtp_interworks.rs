//! What we protect is what another implementation protects; what is not genuine is not opened.

use offhook_media::srtp::{KeySource, MasterKey, ReceiveContext, SendContext, SrtpError, Suite};

/// What another implementation (rtc-srtp) makes of [`rtp`] before and after a rollover, and of [`rtcp`].
struct Theirs {
    suite: Suite,
    key: &'static str,
    rtp: [&'static str; 2],
    rtcp: [&'static str; 2],
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
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
fn packets_are_those_of_another_implementation_also_after_a_rollover() {
    for theirs in THEIRS {
        let key = MasterKey::new(theirs.suite, &hex(theirs.key)).expect("a key of that suite");
        let (mut send, mut receive) = (SendContext::new(&key), ReceiveContext::new(&key));
        for (plain, secret) in [rtp(65_535, 20), rtp(0, 33)].iter().zip(theirs.rtp) {
            assert_eq!(protect_rtp(&mut send, plain), hex(secret), "{}", key.suite());
            assert_eq!(open_rtp(&mut receive, &hex(secret)).as_ref(), Ok(plain), "{}", key.suite());
        }
        for (plain, secret) in [rtcp(1), rtcp(6)].iter().zip(theirs.rtcp) {
            assert_eq!(protect_rtcp(&mut send, plain), hex(secret), "{}", key.suite());
            assert_eq!(open_rtcp(&mut receive, &hex(secret)).as_ref(), Ok(plain), "{}", key.suite());
        }
    }
}

#[test]
fn packets_of_any_length_are_opened_over_several_rollovers() {
    each_suite(|key| {
        let (mut send, mut receive) = (SendContext::new(&key), ReceiveContext::new(&key));
        for step in (0..300_000_u32).step_by(1_021) {
            let plain = rtp(60_000_u32.wrapping_add(step) as u16, (step % 400) as usize);
            let secret = protect_rtp(&mut send, &plain);
            assert_eq!(open_rtp(&mut receive, &secret), Ok(plain), "{} {step}", key.suite());
        }
        for words in 1..60 {
            let secret = protect_rtcp(&mut send, &rtcp(words));
            assert_eq!(open_rtcp(&mut receive, &secret), Ok(rtcp(words)), "{}", key.suite());
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

const THEIRS: [Theirs; 4] = [
    Theirs {
        suite: Suite::AeadAes256Gcm,
        key: "82301dbb8cc3658a83eb102789312194087119dabe12f36d4587fad55d5fbbe609ed559edd58ca5ccf200271",
        rtp: [
            "8000ffff009fff60deadbeef1bd0b2289178f1579755bd6061b65eb2dfcde48fe3c3e77af472ab8b93b4dd28dbcd05c2",
            "8000000000000000deadbeef94425185752ea8aa5024e5bee880f3e5e1061574f4652657a3c1f8703601e29e9da6e9af\
             1234a892b4d5f64e01c4f221d8",
        ],
        rtcp: [
            "80c90001deadbeef12554b98702562fb4a4a5b5e0fb3df2980000001",
            "80c90006deadbeefbf09d036ae6506bd6ed22df6eeb42b9ffc1b32d0c9ffc38eea0ca02d228514d37dca5b5880000002",
        ],
    },
    Theirs {
        suite: Suite::AeadAes128Gcm,
        key: "3fa5b1b78337c1d0aeef272715ca2ae2ca02da20d9d785ddfb743f53",
        rtp: [
            "8000ffff009fff60deadbeef0e1d216b4a5aa6a46fe1c0ea431249cf42b7bde678c7f5a2aa7b6060ce82c7207306a022",
            "8000000000000000deadbeefbeeb8fe0b665c7606b9325534b3c8ead5d000864222556191444bc5a968de13252668a1a\
             5dfd6f412a9896b5e328b3942c",
        ],
        rtcp: [
            "80c90001deadbeeff3ca7079878b7719fd1743019527e16080000001",
            "80c90006deadbeefe2380ebc6baab54a99f7eb1f6717972b5aaad4119865c3898c6b4b5aec472ea2f71aeae780000002",
        ],
    },
    Theirs {
        suite: Suite::AesCm128HmacSha1_80,
        key: "e05f1593e9f460eefabd15e4ec9d8094375aa143c813a97e76b03a63bff1",
        rtp: [
            "8000ffff009fff60deadbeef9aff6b7418f390af7fc4f27ef3b3b1b6494cd36b0f60606fe611033bbeba",
            "8000000000000000deadbeeff41fb5624a88719c338264f3941cdeae8e29ee4e13ca9994ee5f2d627cbc545242f886a1\
             0dcee6192e5342",
        ],
        rtcp: [
            "80c90001deadbeef800000011ff56e720a53eac8fb1c",
            "80c90006deadbeeff197eca76539884fc163e3ee9c362780fd9dd9db800000020e657e2d4e184b880c55",
        ],
    },
    Theirs {
        suite: Suite::AesCm128HmacSha1_32,
        key: "0985a42d1e5a281bc70eaf76b7db704a0ab890a736789488e0fb9964bce9",
        rtp: [
            "8000ffff009fff60deadbeef4e8fa475e3461b774375ab0f597368c5a965eb62fc41d667",
            "8000000000000000deadbeef683559a66d9f93779a63a9ad5e68287d91ad192c0d647fbb6674b1d5367870dc6329176c\
             10",
        ],
        rtcp: [
            "80c90001deadbeef800000016f981692936eac3134ef",
            "80c90006deadbeef6e56fba34d9819ca0f65472f2232ae31a424bef28000000251a3909c38acef6eb600",
        ],
    },
];
