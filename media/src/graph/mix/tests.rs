//! Mixes judged by their definition: the sum of the others, on the same sample.

use super::*;

const PIECE: usize = 40;
const FRAME: usize = 160;

/// Members on all four beats of a tick, each with a voice of its own.
struct Bench {
    mix: Mix,
    beat: u64,
    members: Vec<Voice>,
    encoded: Option<(Codec, EncoderSettings)>,
    /// Factor to every voice. With one, six voices at once are not too loud.
    loud: i16,
}

struct Voice {
    number: u32,
    phase: u64,
    /// Decides what it says; 0 is silence.
    seed: u32,
    heard: Vec<i16>,
    shared: usize,
    /// Where `heard` begins on the clock of the mix.
    origin: Option<u64>,
}

fn sample(seed: u32, at: u64) -> i16 {
    if seed == 0 {
        return 0;
    }
    let mut x = (at as u32).wrapping_mul(0x9E37_79B9) ^ seed.wrapping_mul(0x85EB_CA6B);
    x ^= x >> 15;
    x = x.wrapping_mul(0x2C1B_3C6D);
    x ^= x >> 12;
    (x as i16) / 7
}

impl Bench {
    fn new() -> Self {
        Self {
            mix: Mix::new(MixId(1)),
            beat: 1_000,
            members: Vec::new(),
            encoded: Some((Codec::Pcmu, EncoderSettings::default())),
            loud: 1,
        }
    }

    fn join(&mut self, phase: u64, seed: u32) -> usize {
        let number = self.mix.join(false, 8_000, self.beat);
        self.members.push(Voice { number, phase, seed, heard: Vec::new(), shared: 0, origin: None });
        self.members.len() - 1
    }

    fn leave(&mut self, index: usize) {
        let member = self.members.remove(index);
        self.mix.leave(member.number, self.beat);
    }

    /// As a shard does it: first everybody of this beat speaks, then they hear.
    fn run(&mut self, beats: u64) {
        for _ in 0..beats {
            self.beat += 1;
            let mut frame = Frame::new();
            let (mix, beat, encoded, loud) = (&mut self.mix, self.beat, self.encoded, self.loud);
            let due = |member: &&mut Voice| beat % 4 == member.phase;
            for member in self.members.iter_mut().filter(due) {
                let start = beat * PIECE as u64;
                let said: Vec<i16> =
                    (start..start + FRAME as u64).map(|at| loud * sample(member.seed, at)).collect();
                mix.contribute(member.number, beat, &said, 8_000);
            }
            for member in self.members.iter_mut().filter(due) {
                member.origin.get_or_insert((beat + 1 - 4) * PIECE as u64);
                match mix.hear(member.number, beat, FRAME, encoded, None, &mut frame) {
                    Mixed::Silence => member.heard.extend([0; FRAME]),
                    Mixed::Payload(payload, _) => {
                        let mut samples = [0; FRAME];
                        Codec::Pcmu.decode(payload, &mut samples);
                        member.heard.extend(samples);
                        member.shared += 1;
                    }
                    Mixed::Audio => member.heard.extend(frame.samples()),
                }
            }
        }
    }

    /// What the last `count` samples should be, from the definition.
    fn expected(&self, listener: usize, count: usize) -> Vec<i16> {
        let member = &self.members[listener];
        let end = member.origin.unwrap() + member.heard.len() as u64;
        let sums: Vec<i32> = (end - count as u64..end)
            .map(|at| {
                let others = self.members.iter().enumerate().filter(|(index, _)| *index != listener);
                others.map(|(_, other)| i32::from(sample(other.seed, at))).sum()
            })
            .collect();
        let mut out = vec![0; count];
        mix::limit(&sums, &mut out);
        out
    }

    fn tail(&self, index: usize, count: usize) -> &[i16] {
        let heard = &self.members[index].heard;
        &heard[heard.len() - count..]
    }
}

#[test]
fn everybody_hears_the_sum_of_the_others_on_the_same_sample() {
    let mut bench = Bench::new();
    for (index, phase) in [0, 1, 2, 3, 0, 2].into_iter().enumerate() {
        bench.join(phase, index as u32 + 1);
    }
    bench.run(40);
    for index in 0..bench.members.len() {
        assert_eq!(bench.tail(index, 800), bench.expected(index, 800), "member {index}");
    }
}

/// Pinned: a change of these numbers is a change of what everybody hears.
#[test]
fn golden_vectors_are_the_same_for_any_order_of_members() {
    let parties = [(0, 11), (1, 22), (2, 33), (3, 44), (1, 55)];
    let mut orders = vec![vec![]];
    for party in 0..parties.len() {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(|at| {
                    let mut longer = order.clone();
                    longer.insert(at, party);
                    longer
                })
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let mut bench = Bench::new();
        bench.loud = 4;
        for &party in &order {
            bench.join(parties[party].0, parties[party].1);
        }
        bench.run(80);
        for (index, &party) in order.iter().enumerate() {
            let heard = &bench.members[index].heard;
            let hash = heard.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, sample| {
                (hash ^ u64::from(*sample as u16)).wrapping_mul(0x0000_0100_0000_01B3)
            });
            assert_eq!(hash, GOLDEN[party], "member {party} of {order:?}: {hash:#018x}");
        }
    }
}

const GOLDEN: [u64; 5] = [
    0x01A2_C421_51A2_2194,
    0x1F5E_FDE3_0393_B631,
    0xCAD6_F92E_A40C_A9C5,
    0x4D41_3A2C_2B53_5B0A,
    0xF61A_0EFC_D892_BED6,
];

/// Twenty tones of −10 dBFS are far too loud together: all become quieter, and none of them anything else.
#[test]
fn many_loud_voices_stay_what_they_are() {
    let tone = |hz: usize, at: u64| (std::f64::consts::TAU * hz as f64 * at as f64 / 8_000.0).sin();
    let (mut mix, mut frame) = (Mix::new(MixId(1)), Frame::new());
    let pitch = |index: usize| 410 + 130 * index;
    let numbers: Vec<u32> = (0..20).map(|_| mix.join(false, 8_000, 99)).collect();
    let mut heard = Vec::new();
    for beat in (100..1_700_u64).step_by(4) {
        for (index, number) in numbers.iter().enumerate() {
            let start = beat * PIECE as u64;
            let said: Vec<i16> =
                (start..start + FRAME as u64).map(|at| (10_000.0 * tone(pitch(index), at)) as i16).collect();
            mix.contribute(*number, beat, &said, 8_000);
        }
        if let Mixed::Audio = mix.hear(numbers[3], beat, FRAME, None, None, &mut frame) {
            heard.extend(frame.samples().iter().map(|&sample| f64::from(sample)));
        }
    }
    let second = &heard[heard.len() - 8_000..];
    let level = |hz: usize| {
        let (sine, cosine) = second.iter().zip(0_u64..).fold((0.0, 0.0), |(sine, cosine), (sample, at)| {
            let angle = std::f64::consts::TAU * hz as f64 * at as f64 / 8_000.0;
            (sine + sample * angle.sin(), cosine + sample * angle.cos())
        });
        20.0 * sine.hypot(cosine).max(1.0).log10()
    };
    let others: Vec<f64> = (0..20).filter(|&index| index != 3).map(|index| level(pitch(index))).collect();
    let (least, most) =
        others.iter().fold((f64::MAX, f64::MIN), |(least, most), &level| (least.min(level), most.max(level)));
    assert!(most - least < 0.5, "{others:?}");
    assert!(level(pitch(3)) < least - 30.0, "its own tone at {} beside {least}", level(pitch(3)));
    assert!(level(1_000) < least - 30.0, "what nobody says");
}

#[test]
fn those_who_say_nothing_share_one_payload() {
    let mut bench = Bench::new();
    let talker = bench.join(1, 7);
    for index in 0..9 {
        bench.join(index % 4, 0);
    }
    bench.run(40);
    for listener in &bench.members[1..] {
        assert!(listener.shared >= 8, "{}", listener.shared);
    }
    assert_eq!(bench.members[talker].shared, 0);
    assert!(bench.members[talker].heard.iter().all(|&sample| sample == 0), "nobody else says anything");
    let mut payload = [0; 320];
    let mut expected = [0; 320];
    Codec::Pcmu.encode(&bench.expected(3, 320), &mut payload);
    Codec::Pcmu.decode(&payload, &mut expected);
    assert_eq!(bench.tail(3, 320), expected);
}

#[test]
fn a_muted_member_is_heard_by_nobody_but_those_with_a_gain_of_their_own() {
    let mut bench = Bench::new();
    bench.encoded = None;
    let (agent, customer, coach) = (bench.join(0, 1), bench.join(1, 2), bench.join(2, 3));
    let numbers: Vec<u32> = bench.members.iter().map(|member| member.number).collect();
    bench.mix.mute(numbers[coach], true);
    bench.mix.set_gain(numbers[agent], numbers[coach], Some(Gain::new(1.0)));
    bench.run(40);
    let expected = |bench: &Bench| [agent, customer, coach].map(|index| bench.expected(index, 320));
    let [of_agent, _, of_coach] = expected(&bench);
    assert_eq!(bench.tail(agent, 320), of_agent);
    assert_eq!(bench.tail(coach, 320), of_coach);
    bench.members[coach].seed = 0;
    let [_, of_customer, _] = expected(&bench);
    bench.members[coach].seed = 3;
    assert_eq!(bench.tail(customer, 320), of_customer);
    // Now aloud, and hidden from the agent alone.
    bench.mix.mute(numbers[coach], false);
    bench.mix.set_gain(numbers[agent], numbers[coach], Some(Gain::new(0.0)));
    bench.run(40);
    let [_, of_customer, _] = expected(&bench);
    assert_eq!(bench.tail(customer, 320), of_customer);
    bench.members[coach].seed = 0;
    let [of_agent, _, _] = expected(&bench);
    bench.members[coach].seed = 3;
    assert_eq!(bench.tail(agent, 320), of_agent);
    // And all is as it was, with nothing kept.
    bench.mix.set_gain(numbers[agent], numbers[coach], None);
    bench.run(40);
    let [of_agent, _, _] = expected(&bench);
    assert_eq!(bench.tail(agent, 320), of_agent);
    assert!(bench.mix.pairs.is_empty());
}

/// A constant voice shows every ramp: no step is larger than a 40th of it.
#[test]
fn who_comes_goes_or_is_muted_does_so_within_5_ms_and_without_a_click() {
    const LEVEL: i16 = 8_000;
    let (mut mix, mut frame) = (Mix::new(MixId(1)), Frame::new());
    let listener = mix.join(false, 8_000, 99);
    let mut heard = Vec::new();
    let mut speaker = None;
    for beat in 100..260 {
        match beat {
            110 => speaker = Some(mix.join(false, 8_000, beat - 1)),
            141 => mix.mute(speaker.unwrap(), true),
            161 => mix.mute(speaker.unwrap(), false),
            // Between two frames of the speaker, and just before its next one.
            182 | 224 => {
                mix.leave(speaker.take().unwrap(), beat - 1);
            }
            200 => speaker = Some(mix.join(false, 8_000, beat - 1)),
            _ => {}
        }
        if let Some(speaker) = speaker.filter(|_| beat % 4 == 0) {
            mix.contribute(speaker, beat, &[LEVEL; FRAME], 8_000);
        }
        if beat % 4 == 3 {
            mix.contribute(listener, beat, &[0; FRAME], 8_000);
            match mix.hear(listener, beat, FRAME, None, None, &mut frame) {
                Mixed::Silence => heard.extend([0; FRAME]),
                Mixed::Audio => heard.extend(frame.samples()),
                Mixed::Payload(..) => panic!("it was not asked for"),
            }
        }
    }
    let steps = heard.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs());
    assert!(steps.max().unwrap() <= i32::from(LEVEL) / 40 + 1);
    let turns = heard.windows(2).filter(|pair| (pair[0] == 0) != (pair[1] == 0)).count();
    assert_eq!(turns, 6, "three times something is heard");
    let partial = heard.iter().filter(|&&sample| sample != 0 && sample != LEVEL).count();
    assert_eq!(partial, 6 * PIECE);
}

#[test]
fn a_member_that_returns_does_not_hear_its_own_end() {
    let mut bench = Bench::new();
    bench.join(0, 5);
    bench.join(2, 0);
    bench.run(21);
    bench.leave(0);
    bench.join(0, 5);
    bench.run(20);
    assert!(bench.members[1].heard.iter().all(|&sample| sample == 0));
}

#[test]
fn beats_that_were_skipped_leave_nothing_old_behind() {
    let mut bench = Bench::new();
    for index in 0..3 {
        bench.join(index, index as u32 + 1);
    }
    bench.run(40);
    for skip in [5, 16, 1_000_000] {
        bench.beat += skip;
        for member in &mut bench.members {
            member.origin = None;
            member.heard.clear();
        }
        bench.run(40);
        for index in 0..3 {
            assert_eq!(bench.tail(index, 320), bench.expected(index, 320), "after {skip}");
        }
    }
}

#[test]
fn frames_of_every_length_carry_the_same_audio() {
    for length in [80, 160, 240, 320, 480] {
        let (mut mix, mut frame) = (Mix::new(MixId(1)), Frame::new());
        let (speaker, listener) = (mix.join(false, 8_000, 99), mix.join(false, 8_000, 99));
        let mut heard: Vec<i16> = Vec::new();
        for beat in 100..340_u64 {
            if beat % 4 == 0 {
                let start = beat * PIECE as u64;
                let said: Vec<i16> = (start..start + FRAME as u64).map(|at| sample(9, at)).collect();
                mix.contribute(speaker, beat, &said, 8_000);
            }
            if (beat + 1).is_multiple_of((length / PIECE) as u64)
                && let Mixed::Audio = mix.hear(listener, beat, length, None, None, &mut frame)
            {
                heard.extend(frame.samples());
            }
        }
        let end = 340 / (length / PIECE) as u64 * length as u64;
        let expected: Vec<i16> = (end - 800..end).map(|at| sample(9, at)).collect();
        assert_eq!(heard[heard.len() - 800..], expected, "{length}");
    }
}

/// Sums are made once: what a member costs does not depend on how many others there are.
#[test]
fn a_member_costs_the_same_in_a_small_mix_and_in_a_large_one() {
    let samples_worked_on = |members: u64| {
        let mut bench = Bench::new();
        for index in 0..members {
            bench.join(index % 4, index as u32 + 1);
        }
        bench.run(40);
        let before = mix::WORK.with(std::cell::Cell::get);
        bench.run(40);
        (mix::WORK.with(std::cell::Cell::get) - before) / members
    };
    // Ten frames: added, subtracted, brought down to 16 bits.
    assert_eq!(samples_worked_on(4), 3 * 10 * FRAME as u64);
    assert_eq!(samples_worked_on(400), 3 * 10 * FRAME as u64);
}
