//! Runs a target: its corpus, then mutations of it. An input that shows something new joins what
//! is mutated further. What is new is told by the target itself, as the kinds of its answer: that
//! takes no instrumented build and no nightly compiler.

use std::collections::HashSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use super::mutate::mutated;
use super::target::Target;
use crate::support::fail;
use crate::torture::random::Random;

/// How many inputs are mutated further.
const POOL_MAX: usize = 20_000;

/// How often what was found is tried to be made smaller.
const SHRINKS_MAX: usize = 2_000;

/// What a run was told.
struct Run {
    seed: u32,
    /// Without it, the target's own number of mutations.
    time: Option<Duration>,
}

impl Run {
    /// From the environment, where `cargo xtask fuzz` puts it.
    fn told() -> Self {
        let number = |name| -> Option<u32> { std::env::var_os(name)?.to_str()?.parse().ok() };
        let time =
            number("TIELINE_FUZZ_SECONDS").map(|seconds| Duration::from_secs(seconds.into()));
        Self { seed: number("TIELINE_FUZZ_SEED").unwrap_or(1), time }
    }
}

/// What a run has done so far.
struct Progress {
    start: Instant,
    inputs: usize,
    slowest: Duration,
    kinds: HashSet<String>,
}

/// Runs a target. `check` tells the kinds of what is answered to an input, and panics where one is not
/// as it must be.
#[track_caller]
pub(super) fn run(target: &Target, check: impl Fn(&[u8]) -> Vec<String>) {
    let run = Run::told();
    let (slowest, kinds) = (Duration::ZERO, HashSet::new());
    let mut progress = Progress { start: Instant::now(), inputs: 0, slowest, kinds };
    let mut pool = Vec::new();
    for (name, input) in target.beginning() {
        if progress.look(&input, &check).is_none() {
            fail(&format!("target {}: {name} is not as it must be", target.name));
        }
        pool.push(input);
    }
    let begun = pool.len();
    let mut random = Random::of(run.seed);
    let goes_on = |progress: &Progress| match run.time {
        Some(time) => progress.start.elapsed() < time,
        None => progress.inputs < begun + target.mutations,
    };
    while goes_on(&progress) {
        let input = mutated(&mut random, &pool, (target.tokens, target.longest));
        if run.time.is_some() {
            note(&input);
        }
        match progress.look(&input, &check) {
            Some(true) if pool.len() < POOL_MAX => pool.push(input),
            Some(_) => {}
            None => found(target, &run, input, &check),
        }
    }
    if run.time.is_some() {
        fs::remove_file(running()).unwrap();
    }
    progress.tell(target, run.seed, begun);
}

impl Progress {
    /// Whether an input shows something new; nothing if it is not as it must be.
    fn look(&mut self, input: &[u8], check: &impl Fn(&[u8]) -> Vec<String>) -> Option<bool> {
        let start = Instant::now();
        let kinds = panic::catch_unwind(AssertUnwindSafe(|| check(input))).ok()?;
        self.slowest = self.slowest.max(start.elapsed());
        self.inputs += 1;
        let known = self.kinds.len();
        self.kinds.extend(kinds);
        Some(self.kinds.len() > known)
    }

    #[expect(clippy::print_stderr, reason = "figures for whoever runs the test to see them")]
    fn tell(&self, target: &Target, seed: u32, begun: usize) {
        eprintln!(
            "{}: {} inputs from {begun} in {:.1?} (seed {seed}), {} kinds of answers, {:.1?} at most",
            target.name,
            self.inputs,
            self.start.elapsed(),
            self.kinds.len(),
            self.slowest,
        );
    }
}

/// Fails with an input that is not as it must be; a long run makes it smaller and keeps it.
#[track_caller]
fn found(target: &Target, run: &Run, input: Vec<u8>, check: &impl Fn(&[u8]) -> Vec<String>) -> ! {
    let (name, seed) = (target.name, run.seed);
    if run.time.is_none() {
        let shown = input.escape_ascii().to_string();
        fail(&format!(
            "target {name}, seed {seed}: not as it must be, see the panic above: {shown}\n\
             `cargo xtask fuzz {name} --seed {seed}` makes it smaller and keeps it"
        ));
    }
    let smaller = shrunk(input, check);
    let path = target.corpus().join(format!("found-{:016x}", mixed(&smaller)));
    fs::write(&path, &smaller).unwrap();
    fs::remove_file(running()).unwrap();
    fail(&format!(
        "target {name}: kept as {}; to repeat it: cargo test --test it fuzz::{name}",
        path.display()
    ))
}

/// Takes away whatever is not needed to be found.
fn shrunk(mut input: Vec<u8>, check: &impl Fn(&[u8]) -> Vec<String>) -> Vec<u8> {
    let is_found = |input: &[u8]| panic::catch_unwind(AssertUnwindSafe(|| check(input))).is_err();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let (mut size, mut tries) = (input.len() / 2, 0);
    while size > 0 && tries < SHRINKS_MAX {
        let mut at = 0;
        while at + size <= input.len() && tries < SHRINKS_MAX {
            let fewer = [&input[..at], &input[at + size..]].concat();
            tries += 1;
            if is_found(&fewer) { input = fewer } else { at += size }
        }
        size /= 2;
    }
    panic::set_hook(hook);
    input
}

/// A name for some bytes (FNV-1a).
fn mixed(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Keeps the input at hand where `cargo xtask fuzz` looks if the process dies of it.
fn note(input: &[u8]) {
    fs::write(running(), input).unwrap();
}

fn running() -> std::path::PathBuf {
    let named = std::env::var_os("TIELINE_FUZZ_RUNNING");
    named.map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-running"), Into::into)
}

#[test]
fn what_is_wrong_is_found_and_made_smaller() {
    let check = |input: &[u8]| {
        assert!(memchr::memmem::find(input, b"<x>").is_none(), "planted");
        vec!["something".to_owned()]
    };
    let mut random = Random::of(1);
    let pool = vec![b"<a>some text</a>".to_vec()];
    let mut found = (0..20_000).map(|_| mutated(&mut random, &pool, (&["<x>", "y"], 1_000)));
    let hit = found.find(|input| memchr::memmem::find(input, b"<x>").is_some()).unwrap();
    let (slowest, kinds) = (Duration::ZERO, HashSet::new());
    let mut progress = Progress { start: Instant::now(), inputs: 0, slowest, kinds };
    assert_eq!(progress.look(b"<y>", &check), Some(true));
    assert_eq!(progress.look(b"<z>", &check), Some(false), "nothing new");
    assert_eq!(progress.look(&hit, &check), None);
    assert_eq!(shrunk(hit, &check), b"<x>");
}
