//! Media that is encrypted: how keys are agreed upon, and what happens to packets that are not genuine.

mod common;

use common::{
    dice::Dice,
    world::{World, address, config},
};
use offhook_media::{
    Capabilities, Channel, Command, Event, Feed, Negotiation, SessionConfig, SessionId, Srtp,
    rtp::Packet,
    sdp::{Crypto, SdpError},
    srtp::{KeySource, Keys, ReceiveContext, SendContext, Suite},
};

fn party(number: u8, srtp: Srtp) -> Negotiation {
    let capabilities = Capabilities { srtp, ..Capabilities::default() };
    let local = address(&format!("192.0.2.{number}:4000"));
    Negotiation::new(capabilities, local, u64::from(number)).with_keys(KeySource::new([number; 32]))
}

/// One offer and its answer; what the offerer's and the answerer's session are told.
fn agree(a: &mut Negotiation, b: &mut Negotiation) -> Result<(SessionConfig, SessionConfig), SdpError> {
    let offer = a.offer();
    let (answer, bs) = b.accept_offer(&offer)?;
    Ok((a.accept_answer(&answer)?, bs))
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).expect("SDP is text")
}

fn same_keys(a: &SessionConfig, b: &SessionConfig) -> Suite {
    let (a, b) = (a.srtp.as_ref().expect("keys"), b.srtp.as_ref().expect("keys"));
    assert_eq!((&a.send, &a.receive), (&b.receive, &b.send));
    assert_ne!(a.send, a.receive);
    a.send.suite()
}

// ---- agreeing --------------------------------------------------------------------------------------------------

#[test]
fn who_must_and_who_may_encrypt_agree_on_the_strongest_suite() {
    let (mut a, mut b) = (party(1, Srtp::Required), party(2, Srtp::Accept));
    let offer = text(&a.offer());
    assert!(offer.contains("m=audio 4000 RTP/SAVP "), "{offer}");
    assert_eq!(offer.matches("a=crypto:").count(), 4, "{offer}");
    let (one, two) = agree(&mut a, &mut b).expect("an agreement");
    assert_eq!(same_keys(&one, &two), Suite::AeadAes256Gcm);
}

#[test]
fn the_answerers_order_of_suites_decides() {
    let mut a = party(1, Srtp::Required);
    let suites = vec![Suite::AesCm128HmacSha1_32, Suite::AeadAes128Gcm];
    let capabilities = Capabilities { suites, ..Capabilities::default() };
    let mut b =
        Negotiation::new(capabilities, address("192.0.2.2:4000"), 2).with_keys(KeySource::new([9; 32]));
    let (one, two) = agree(&mut a, &mut b).expect("an agreement");
    assert_eq!(same_keys(&one, &two), Suite::AesCm128HmacSha1_32);
}

#[test]
fn keys_offered_on_a_plain_line_are_used_or_ignored() {
    let (one, two) = agree(&mut party(1, Srtp::Optional), &mut party(2, Srtp::Accept)).expect("keys");
    same_keys(&one, &two);
    let mut a = party(1, Srtp::Optional);
    assert!(text(&a.offer()).contains("m=audio 4000 RTP/AVP "));
    let (one, two) = agree(&mut a, &mut party(2, Srtp::Off)).expect("no keys");
    assert_eq!((one.srtp, two.srtp), (None, None));
    assert!(!text(&a.offer()).contains("a=crypto"), "what was agreed stays");
    let (one, two) = agree(&mut party(1, Srtp::Accept), &mut party(2, Srtp::Optional)).expect("no keys");
    assert_eq!((one.srtp, two.srtp), (None, None));
}

#[test]
fn who_must_and_who_may_not_encrypt_do_not_agree() {
    let refused = Err(SdpError::NoCommonSecurity);
    assert_eq!(agree(&mut party(1, Srtp::Required), &mut party(2, Srtp::Off)).map(drop), refused);
    assert_eq!(agree(&mut party(1, Srtp::Off), &mut party(2, Srtp::Required)).map(drop), refused);
    assert_eq!(agree(&mut party(1, Srtp::Accept), &mut party(2, Srtp::Required)).map(drop), refused);
    let mut without_keys = Negotiation::new(
        Capabilities { srtp: Srtp::Required, ..Capabilities::default() },
        address("192.0.2.3:4000"),
        3,
    );
    assert_eq!(agree(&mut party(1, Srtp::Optional), &mut without_keys).map(drop), refused);
}

#[test]
fn a_refresh_and_a_hold_keep_the_keys_and_new_keys_of_the_peer_bring_new_keys_of_ours() {
    let (mut a, mut b) = (party(1, Srtp::Required), party(2, Srtp::Accept));
    let (one, two) = agree(&mut a, &mut b).expect("an agreement");
    let (again, two_again) = agree(&mut a, &mut b).expect("a refresh");
    assert_eq!((&again.srtp, &two_again.srtp), (&one.srtp, &two.srtp));
    let (offer, refreshed) = (a.offer(), a.offer());
    assert_eq!(offer, refreshed, "nothing changed, not even the version");
    let (two_again, one_again) = agree(&mut b, &mut a).expect("a refresh of the other side");
    assert_eq!((&one_again.srtp, &two_again.srtp), (&one.srtp, &two.srtp));
    a.set_direction(offhook_media::Direction::SendOnly);
    let (held, _) = agree(&mut a, &mut b).expect("a hold");
    assert_eq!(held.srtp, one.srtp);

    // Somebody else continues at that end.
    let mut other = party(3, Srtp::Required);
    let (theirs, ours) = agree(&mut other, &mut b).expect("an agreement");
    same_keys(&theirs, &ours);
    let (before, after) = (two.srtp.expect("keys"), ours.srtp.expect("keys"));
    assert_ne!(before.send, after.send);
    assert_ne!(before.receive, after.receive);
}

#[test]
fn what_was_encrypted_is_never_plain_again_and_a_refusal_changes_nothing() {
    let (mut a, mut b) = (party(1, Srtp::Optional), party(2, Srtp::Accept));
    let (one, _) = agree(&mut a, &mut b).expect("an agreement");
    let plain = party(3, Srtp::Off).offer();
    assert_eq!(b.accept_offer(&plain).map(drop), Err(SdpError::NoCommonSecurity));
    let _ = a.offer();
    assert_eq!(a.accept_answer(&plain).map(drop), Err(SdpError::NoCommonSecurity));
    a.withdraw_offer();
    let (again, two) = agree(&mut a, &mut b).expect("the call goes on");
    same_keys(&again, &two);
    assert_eq!(again.srtp, one.srtp);
}

#[test]
fn the_secure_line_of_two_is_taken_and_the_plain_one_where_there_must_be_none() {
    let secure = text(&party(1, Srtp::Required).offer());
    let plain = "m=audio 5000 RTP/AVP 0\r\n";
    let at = secure.find("m=audio").expect("audio");
    let both = format!("{}{plain}{}", &secure[..at], &secure[at..]);
    let (answer, taken) = party(2, Srtp::Accept).accept_offer(both.as_bytes()).expect("an answer");
    assert!(taken.srtp.is_some());
    assert!(text(&answer).contains("m=audio 0 RTP/AVP 0\r\n"), "{}", text(&answer));
    let (answer, taken) = party(2, Srtp::Off).accept_offer(both.as_bytes()).expect("an answer");
    assert!(taken.srtp.is_none());
    assert!(text(&answer).contains("m=audio 0 RTP/SAVP "), "{}", text(&answer));
    assert!(!text(&answer).contains("a=crypto"));
}

#[test]
fn an_answer_must_name_a_key_that_was_offered() {
    let mut a = party(1, Srtp::Required);
    let offer = a.offer();
    let (answer, _) = party(2, Srtp::Accept).accept_offer(&offer).expect("an answer");
    let answer = text(&answer);
    for wrong in [
        answer.replace("a=crypto:1 ", "a=crypto:9 "),
        answer.replace("a=crypto:1 ", "a=crypto:2 "),
        answer.replace("a=crypto:", "a=x-crypto:"),
        answer.replace("inline:", "inline:AAAA"),
    ] {
        assert_ne!(wrong, answer);
        assert_eq!(a.accept_answer(wrong.as_bytes()).map(drop), Err(SdpError::NoCommonSecurity), "{wrong}");
    }
    assert!(a.accept_answer(answer.as_bytes()).is_ok());
}

#[test]
fn nothing_that_is_logged_shows_a_key() {
    let (mut a, mut b) = (party(1, Srtp::Required), party(2, Srtp::Accept));
    let offer = text(&a.offer());
    let (one, two) = agree(&mut a, &mut b).expect("an agreement");
    let description = offhook_media::sdp::Description::parse(offer.as_bytes()).expect("our offer");
    let mut world = World::new(1);
    let id = world.open(SessionConfig { srtp: one.srtp.clone(), ..config("192.0.2.2:4000") });
    let session = world.shard.session(id).expect("open");
    let shown = format!("{one:?} {two:?} {a:?} {b:?} {description:?} {session:?}");
    for line in offer.lines().filter_map(|line| line.strip_prefix("a=crypto:")) {
        let key = line.split("inline:").nth(1).expect("a key");
        assert!(!shown.contains(key));
        let crypto = Crypto::parse(line).expect("our own line");
        assert!(!shown.contains(&format!("{:?}", crypto.key.key())));
    }
}

// ---- at work ---------------------------------------------------------------------------------------------------

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";
const C: &str = "192.0.2.3:4000";

fn keys(number: u8, suite: Suite) -> Keys {
    let mut source = KeySource::new([number; 32]);
    Keys { send: source.master_key(suite), receive: source.master_key(suite) }
}

fn secure(remote: &str, keys: &Keys) -> SessionConfig {
    SessionConfig { srtp: Some(keys.clone()), ..config(remote) }
}

/// A phone that encrypts.
struct Phone {
    send: SendContext,
    receive: ReceiveContext,
    sequence: u16,
}

impl Phone {
    /// `keys` are those of the session at the other end.
    fn new(keys: &Keys) -> Self {
        let (send, receive) = (SendContext::new(&keys.receive), ReceiveContext::new(&keys.send));
        Self { send, receive, sequence: 65_000 }
    }

    fn rtp(&mut self, voice: u8) -> Vec<u8> {
        let mut packet = vec![0x80, 0x00];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend([7, 7, 7, 7]);
        packet.extend([voice; 160]);
        packet.resize(packet.len() + self.send.suite().rtp_overhead(), 0);
        self.sequence = self.sequence.wrapping_add(1);
        self.send.protect_rtp(&mut packet).expect("in order");
        packet
    }

    fn report(&mut self) -> Vec<u8> {
        let mut packet = vec![0x80, 201, 0, 1, 7, 7, 7, 7];
        packet.resize(packet.len() + self.send.suite().rtcp_overhead(), 0);
        self.send.protect_rtcp(&mut packet).expect("a report");
        packet
    }

    fn hear(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        let length = self.receive.unprotect_rtp(&mut bytes).expect("a genuine packet");
        Packet::parse(&bytes[..length]).expect("RTP").payload.to_vec()
    }
}

fn stats(world: &World, id: SessionId) -> offhook_media::SessionStats {
    world.shard.session(id).expect("open").stats()
}

/// Frames of 20 ms of a phone.
fn talk(world: &mut World, id: SessionId, from: &str, phone: &mut Phone, voice: u8, frames: usize) {
    for _ in 0..frames {
        let packet = phone.rtp(voice);
        world.deliver(world.now, id, address(from), packet);
        world.run_ms(20);
    }
}

#[test]
fn encrypted_and_plain_parties_hear_each_other() {
    for suite in Suite::ALL {
        let keys = keys(1, suite);
        let mut world = World::new(7);
        let mut phone = Phone::new(&keys);
        let a = world.open(secure(A, &keys));
        let b = world.party(B, 0x2A);
        world.command(Command::Feed(a, Feed::Session(b)));
        world.command(Command::Feed(b, Feed::Session(a)));
        talk(&mut world, a, A, &mut phone, 0x35, 100);
        let heard: Vec<_> = world.rtp(b).map(|sent| sent.payload().to_vec()).collect();
        assert!(heard.iter().filter(|payload| **payload == [0x35; 160]).count() >= 95, "{suite}");
        let heard: Vec<_> = world.rtp(a).map(|sent| phone.hear(&sent.bytes)).collect();
        assert!(heard.iter().filter(|payload| **payload == [0x2A; 160]).count() >= 95, "{suite}");
        let stats = stats(&world, a);
        assert_eq!((stats.unauthenticated, stats.replayed, stats.invalid), (0, 0, 0));
        assert_eq!((stats.received, stats.lost), (100, 0));
    }
}

#[test]
fn reports_are_encrypted_and_others_are_not_believed() {
    let keys = keys(1, Suite::AeadAes128Gcm);
    let mut world = World::new(7);
    let mut phone = Phone::new(&keys);
    let a = world.open(secure(A, &keys));
    talk(&mut world, a, A, &mut phone, 0x35, 600);
    let reports: Vec<_> = world
        .sent(a)
        .iter()
        .filter(|sent| sent.channel == Channel::Rtcp)
        .map(|sent| sent.bytes.clone())
        .collect();
    assert!(!reports.is_empty());
    for report in &reports {
        let mut bytes = report.clone();
        let length = phone.receive.unprotect_rtcp(&mut bytes).expect("a genuine report");
        assert!(offhook_media::rtcp::Compound::parse(&bytes[..length]).is_ok());
    }
    world.deliver_on(
        world.now,
        a,
        Channel::Rtcp,
        address("192.0.2.1:4001"),
        vec![0x80, 201, 0, 1, 7, 7, 7, 7],
    );
    let report = phone.report();
    world.deliver_on(world.now, a, Channel::Rtcp, address("192.0.2.1:4001"), report.clone());
    world.run_ms(5);
    assert_eq!(stats(&world, a).unauthenticated, 1);
    world.deliver_on(world.now, a, Channel::Rtcp, address("192.0.2.1:4001"), report);
    world.run_ms(5);
    assert_eq!(stats(&world, a).replayed, 1);
}

/// Runs a bridge of an encrypted and a plain party and a listener to both, under attack or not; all that leaves.
fn bridge(attack: bool) -> Vec<Vec<u8>> {
    let keys = keys(4, Suite::AesCm128HmacSha1_80);
    let wrong = self::keys(5, Suite::AesCm128HmacSha1_80);
    let mut world = World::new(11);
    let (mut phone, mut liar) = (Phone::new(&keys), Phone::new(&wrong));
    let mut dice = Dice::new(3);
    let a = world.open(secure(A, &keys));
    let b = world.party(B, 0x2A);
    let c = world.party(C, 0x11);
    for (listener, source) in [(a, b), (b, a), (c, a)] {
        world.command(Command::Feed(listener, Feed::Session(source)));
    }
    let mut genuine: Vec<Vec<u8>> = Vec::new();
    for _ in 0..300 {
        let packet = phone.rtp(0x35);
        world.deliver(world.now, a, address(A), packet.clone());
        genuine.push(packet);
        if attack {
            let old = genuine[dice.below(genuine.len() as u64) as usize].clone();
            let mut damaged = old.clone();
            let at = dice.below(damaged.len() as u64) as usize;
            damaged[at] ^= 1 << dice.below(8);
            damaged[1] &= 0x3F;
            let mut plain = phone_header(phone.sequence.wrapping_add(1));
            plain.extend([0x99; 160]);
            let noise = (0..dice.below(300)).map(|_| dice.next() as u8).collect();
            for bytes in [old, damaged, liar.rtp(0x77), plain, noise] {
                for from in [A, "192.0.2.1:9999", "203.0.113.1:1"] {
                    world.deliver(world.now, a, address(from), bytes.clone());
                }
            }
        }
        world.run_ms(20);
    }
    if attack {
        let stats = stats(&world, a);
        assert!(stats.replayed > 1_000 && stats.unauthenticated > 1_000, "{stats:?}");
        assert_eq!((stats.received, stats.wrong_source), (300, 0));
        assert_eq!(world.told(|event| matches!(event, Event::Latched(..))), 0);
    }
    [b, c]
        .into_iter()
        .flat_map(|id| world.rtp(id).map(|sent| sent.bytes.clone()).collect::<Vec<_>>())
        .collect()
}

fn phone_header(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0x00];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([7, 7, 7, 7]);
    packet
}

#[test]
fn replayed_damaged_plain_and_foreign_packets_change_nothing_that_anybody_hears() {
    assert_eq!(bridge(false), bridge(true));
}

#[test]
fn an_address_is_learned_from_genuine_packets_only() {
    let keys = keys(1, Suite::AeadAes256Gcm);
    let mut world = World::new(7);
    let (mut phone, mut liar) = (Phone::new(&keys), Phone::new(&self::keys(2, Suite::AeadAes256Gcm)));
    let a = world.open(secure("192.0.2.1:4444", &keys));
    talk(&mut world, a, "192.0.2.1:5555", &mut liar, 0x35, 20);
    let destination = |world: &World| world.shard.session(a).expect("open").destination();
    assert_eq!(destination(&world), Some(address("192.0.2.1:4444")));
    talk(&mut world, a, "192.0.2.1:6666", &mut phone, 0x35, 10);
    assert_eq!(destination(&world), Some(address("192.0.2.1:6666")));
}

#[test]
fn a_new_key_begins_to_count_afresh_and_the_old_one_is_heard_for_a_moment() {
    let (first, second) = (keys(1, Suite::AesCm128HmacSha1_80), keys(2, Suite::AesCm128HmacSha1_80));
    let mut world = World::new(7);
    let mut phone = Phone::new(&first);
    let a = world.open(secure(A, &first));
    world.command(Command::Feed(a, Feed::Session(a)));
    // Over a rollover of its sequence numbers.
    phone.sequence = 65_500;
    talk(&mut world, a, A, &mut phone, 0x35, 100);
    let until_now = world.rtp(a).count();
    world.rtp(a).for_each(|sent| drop(phone.hear(&sent.bytes)));
    // The same keys once more, as with a hold: everything goes on.
    world.command(Command::Configure(a, Box::new(secure(A, &first))));
    talk(&mut world, a, A, &mut phone, 0x35, 10);
    world.rtp(a).skip(until_now).for_each(|sent| drop(phone.hear(&sent.bytes)));

    let until_now = world.rtp(a).count();
    world.command(Command::Configure(a, Box::new(secure(A, &second))));
    talk(&mut world, a, A, &mut phone, 0x35, 5);
    let mut renewed = Phone { sequence: phone.sequence, ..Phone::new(&second) };
    talk(&mut world, a, A, &mut renewed, 0x35, 100);
    world.rtp(a).skip(until_now).for_each(|sent| drop(renewed.hear(&sent.bytes)));
    assert_eq!((stats(&world, a).received, stats(&world, a).unauthenticated), (215, 0));
    world.run_ms(5_000);
    phone.sequence += 200;
    talk(&mut world, a, A, &mut phone, 0x35, 5);
    assert_eq!((stats(&world, a).received, stats(&world, a).unauthenticated), (215, 5));
}
