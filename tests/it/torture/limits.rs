//! What a bridge costs before it has work.

use std::time::Instant;

use super::run::tell;
use crate::support::{Site, request};

/// The most memory that a bridge may hold with hardly any work. A debug build is larger.
const MEMORY_IDLE_MAX_KIB: u64 = if cfg!(debug_assertions) { 60 * 1024 } else { 30 * 1024 };

/// How soon it is at work is told and not judged: on a busy machine it says more about that.
#[test]
fn a_bridge_without_work_is_small() {
    let Some(site) = Site::open() else { return };
    // So that the queues are there.
    site.start().stop();
    site.send(&request("S1", "P1"));
    let start = Instant::now();
    let bridge = site.start();
    site.location_of("S1");
    let took = start.elapsed();
    // None but on Linux.
    let memory = bridge.memory_peak_kib().unwrap_or_default();
    tell(&format!("first asset location {took:.0?} after the start, {memory} KiB"));
    assert!(memory <= MEMORY_IDLE_MAX_KIB, "expected at most {MEMORY_IDLE_MAX_KIB} KiB");
}
