//! Hostile input against the pure cores: `replay` runs the seed files, `mutate` a million variations of them.

mod corpus;
mod memory;
mod mutate;
mod random;
mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use corpus::{Expected, Seed};
use nix::time::{ClockId, clock_gettime};
use random::Random;
use targets::{Target, Verdict};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Inputs of a `mutate` run without `--count`.
const COUNT: usize = 1_000_000;

/// Inputs between two visits to a target's bounds.
const SETTLE: usize = 5_000;

/// What a stateful target may hold more after settling than after its first settling, bytes.
const GROWTH: usize = 1 << 20;

/// An input that takes longer, in processor time, is kept to be looked at.
const SLOW: Duration = Duration::from_millis(20);

struct Arguments {
    replay: bool,
    count: usize,
    seed: u64,
    target: Option<String>,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}\nusage: offhook-fuzz replay | mutate [--count N] [--seed S] [--target NAME]");
            return ExitCode::from(2);
        }
    };
    let mut targets = targets::all();
    if let Some(name) = &arguments.target {
        targets.retain(|target| target.name() == name);
        if targets.is_empty() {
            let names: Vec<_> = targets::all().iter().map(|target| target.name()).collect();
            eprintln!("no target {name}; there are {}", names.join(", "));
            return ExitCode::from(2);
        }
    }
    // Panics are reported with their input; the default report would come first and without it.
    std::panic::set_hook(Box::new(|panic| eprintln!("\n{panic}")));
    let shares: usize = targets.iter().map(|target| target.share()).sum();
    for mut target in targets {
        let share = (arguments.count * target.share()).div_ceil(shares);
        let result = if arguments.replay {
            replay(target.as_mut())
        } else {
            mutate(target.as_mut(), share, arguments.seed)
        };
        if let Err(wrong) = result {
            eprintln!("FAILED {}: {wrong}", target.name());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let replay = match words.next().as_deref() {
        Some("replay") => true,
        Some("mutate") => false,
        _ => return Err("a command is missing".into()),
    };
    let mut arguments = Arguments { replay, count: COUNT, seed: 1, target: None };
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number =
            || value.replace('_', "").parse::<u64>().map_err(|_| format!("{flag} {value}: not a number"));
        match flag.as_str() {
            "--count" if !replay => arguments.count = number()? as usize,
            "--seed" if !replay => arguments.seed = number()?,
            "--target" => arguments.target = Some(value),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    Ok(arguments)
}

/// Every seed file as it is: survived, and accepted or refused as its name says.
fn replay(target: &mut dyn Target) -> Result<(), String> {
    let seeds = load(target)?;
    let mut random = Random::new(0, target.name());
    for seed in &seeds {
        let verdict = guarded(target, &seed.bytes, &mut random)
            .map_err(|wrong| format!("{}: {wrong}", seed.path.display()))?;
        let expected = match seed.expected {
            Expected::Accepted => Some(Verdict::Accepted),
            Expected::Refused => Some(Verdict::Refused),
            Expected::Either => None,
        };
        if verdict != Verdict::None && expected.is_some_and(|expected| expected != verdict) {
            return Err(format!("{}: {verdict:?}", seed.path.display()));
        }
    }
    settled(target)?;
    println!("{:12} {:3} files replayed", target.name(), seeds.len());
    Ok(())
}

/// `count` inputs that nobody sends on purpose, but somebody will.
fn mutate(target: &mut dyn Target, count: usize, seed: u64) -> Result<(), String> {
    let seeds = load(target)?;
    let mut random = Random::new(seed, target.name());
    let (mut accepted, mut slowest, mut slowest_at) = (0usize, Duration::ZERO, (0, 0));
    let (mut busy, mut baseline) = (Duration::ZERO, None);
    let mut input = Vec::new();
    for number in 0..count {
        let Seed { bytes, .. } = &seeds[random.below(seeds.len())];
        let other = &seeds[random.below(seeds.len())].bytes;
        input.clear();
        input.extend_from_slice(bytes);
        target.mutate(&mut input, other, &mut random);

        let begun = processor_time();
        let verdict = guarded(target, &input, &mut random).map_err(|wrong| {
            let saved = save(target.name(), seed, number, &input);
            format!("{wrong}\ninput {number} of seed {seed}, saved as {}", saved.display())
        })?;
        let took = processor_time().saturating_sub(begun);
        busy += took;
        accepted += usize::from(verdict == Verdict::Accepted);
        if took > slowest {
            (slowest, slowest_at) = (took, (number, input.len()));
            if took > SLOW {
                save(&format!("{}-slow", target.name()), seed, number, &input);
            }
        }
        if (number + 1) % SETTLE == 0 || number + 1 == count {
            input = Vec::new();
            let live =
                settled(target).map_err(|wrong| format!("after input {number} of seed {seed}: {wrong}"))?;
            // The first settling may leave tables at their working size.
            let baseline = *baseline.get_or_insert(live);
            if live > baseline + GROWTH {
                return Err(format!("grew from {baseline} to {live} bytes by input {number} of seed {seed}"));
            }
        }
    }
    let report = target.report().unwrap_or_else(|| format!("{} % accepted", accepted * 100 / count.max(1)));
    println!(
        "{:12} {count:7} inputs, {:5.1} µs each, slowest {:.2} ms (input {}, {} bytes); {} KB held after; {report}",
        target.name(),
        busy.as_secs_f64() * 1e6 / count.max(1) as f64,
        slowest.as_secs_f64() * 1e3,
        slowest_at.0,
        slowest_at.1,
        memory::live() / 1024,
    );
    Ok(())
}

/// Time this thread has computed; other load on the machine does not count.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn load(target: &dyn Target) -> Result<Vec<Seed>, String> {
    let seeds = corpus::load(target.kinds()).map_err(|error| format!("no corpus: {error}"))?;
    if seeds.is_empty() { Err("the corpus is empty".into()) } else { Ok(seeds) }
}

/// One input; a panic, a leak or a binge is an error.
fn guarded(target: &mut dyn Target, input: &[u8], random: &mut Random) -> Result<Verdict, String> {
    let before = memory::mark();
    let verdict = catch_unwind(AssertUnwindSafe(|| target.run(input, random))).map_err(|_| "panicked")?;
    let (most, after) = (memory::peak() - before, memory::live());
    if most > target.allowance(input.len()) {
        return Err(format!("{} bytes of input took {most} bytes of memory", input.len()));
    }
    if !target.remembers() && after > before {
        return Err(format!("{} bytes are still held", after - before));
    }
    Ok(verdict)
}

/// Lets the target come to rest, and returns the bytes held then.
fn settled(target: &mut dyn Target) -> Result<usize, String> {
    catch_unwind(AssertUnwindSafe(|| target.settle()))
        .map_err(|_| "panicked while settling".to_owned())??;
    Ok(memory::live())
}

fn save(target: &str, seed: u64, number: usize, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("failures");
    let path = folder.join(format!("{target}-{seed}-{number}"));
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)) {
        eprintln!("{}: {error}", path.display());
    }
    path
}
