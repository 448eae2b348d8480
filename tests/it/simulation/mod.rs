//! Everything that can happen to the bridge, in an order that follows from a seed: its real use
//! cases on its real store, between brokers that are modelled with the faults that real ones show,
//! with deaths between any two calls. See `docs/reliability.md`.
//!
//! Read [`script`] (what happens), [`world`] (how it happens), [`outside`] (billing and asset
//! management), [`wire`] (the brokers), [`mortal`] (a store whose process can die), [`checker`] (what must hold), [`planted`] (that it would be seen).

mod checker;
mod history;
#[path = "../../../src/store/tests/invariants.rs"]
mod invariants;
mod mortal;
mod outside;
mod planted;
mod process;
mod script;
mod seen;
mod shrink;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use self::script::{Operation, of_seed, read, written};
use crate::golden;
use crate::support::fail;

const SCRIPTS: &str = "tests/scripts/simulation";

/// How many seeds are tried unless the environment says otherwise.
const SEEDS: u64 = 1_000;

/// How many threads try seeds; each seed is tried on one, which mostly waits for its store.
const THREADS: usize = 4;

#[test]
fn whatever_a_seed_brings_every_promise_holds() {
    let (first, count) = (number("TIELINE_TEST_SEED", 0), number("TIELINE_TEST_SEEDS", SEEDS));
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < first + count
                    && failed.lock().unwrap().len() < 3
                {
                    if faults_of(&of_seed(seed)).is_some() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let told: Vec<_> = failed.iter().map(|seed| shrink::told(*seed)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn every_script_that_once_failed_holds() {
    let names = golden::names(SCRIPTS);
    for name in names {
        let text = golden::read(&format!("{SCRIPTS}/{name}"));
        assert!(text.starts_with("# "), "{name} does not begin with its reason");
        let script = read(&text).map_err(|error| format!("{name}: {error}")).unwrap();
        if let Some(faults) = faults_of(&script) {
            panic!("{SCRIPTS}/{name}:\n{faults}");
        }
    }
}

#[test]
fn a_seed_happens_the_same_way_each_time() {
    for seed in 0..20 {
        let digest = || world::play(&of_seed(seed), None).digest();
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}

/// A simulation that reaches little proves little.
#[test]
fn the_seeds_reach_what_there_is_to_reach() {
    let mut counts = BTreeMap::new();
    for seed in 0..300 {
        let seen = world::play(&of_seed(seed), None);
        for what in seen.reaches() {
            *counts.entry(what).or_insert(0) += 1;
        }
    }
    println!("of 300 seeds: {counts:?}");
    let missing: Vec<_> = seen::REACHABLE.iter().filter(|it| !counts.contains_key(*it)).collect();
    assert!(missing.is_empty(), "not reached: {missing:?}");
}

/// What is wrong with a script, if anything.
fn faults_of(script: &[Operation]) -> Option<String> {
    let faults = checker::check(&world::play(script, None));
    let few = faults.iter().take(5).map(|fault| format!("  {:?}: {}\n", fault.rule, fault.what));
    (!faults.is_empty()).then(|| few.collect())
}

fn number(name: &str, usual: u64) -> u64 {
    let text = env::var_os(name).filter(|text| !text.is_empty());
    let number = text.map(|text| text.to_str().and_then(|text| text.parse().ok()));
    let found = || fail(&format!("{name}: expected a number"));
    number.map_or(usual, |number| number.unwrap_or_else(found))
}
