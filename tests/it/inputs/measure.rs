//! What a row may cost the bridge: processor time and memory, as the system counts them.
//!
//! Told for every build, and judged for one that was built for speed.

use std::time::Duration;

use crate::support::Bridge;

/// The most processor time that a row may take, its good message included.
const PROCESSOR_MAX: Duration = Duration::from_secs(1);

/// The most that the bridge may grow beyond the most that it held before, in KiB.
const GROWTH_MAX: u64 = 64 * 1024;

/// How long the good message after a row may take, from its sending to its reply.
pub(super) const GOOD_MAX: Duration = Duration::from_secs(5);

/// What the bridge has used so far.
#[derive(Clone, Copy)]
pub(super) struct Used {
    processor: Option<Duration>,
    memory_peak_kib: Option<u64>,
}

/// What a row cost.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    processor: Duration,
    growth_kib: u64,
}

impl Used {
    pub(super) fn by(bridge: &Bridge) -> Self {
        Self { processor: bridge.processor_time(), memory_peak_kib: bridge.memory_peak_kib() }
    }

    /// What was used since then; nothing where the system does not tell.
    pub(super) fn since(self, before: Self) -> Cost {
        let processor = self.processor.zip(before.processor);
        let memory = self.memory_peak_kib.zip(before.memory_peak_kib);
        Cost {
            processor: processor.map_or(Duration::ZERO, |(now, then)| now.saturating_sub(then)),
            growth_kib: memory.map_or(0, |(now, then)| now.saturating_sub(then)),
        }
    }
}

impl Cost {
    /// What it exceeds, if the build is one to judge.
    pub(super) fn complaint(self) -> Option<String> {
        let fast = !cfg!(debug_assertions) || std::env::var_os("TIELINE_TEST_BINARY").is_some();
        let exceeds = self.processor > PROCESSOR_MAX || self.growth_kib > GROWTH_MAX;
        (fast && exceeds).then(|| {
            format!("{self}, expected at most {PROCESSOR_MAX:?} and {} MiB", GROWTH_MAX / 1024)
        })
    }

    /// The larger of both, each by itself.
    pub(super) fn or_more(self, other: Self) -> Self {
        Self {
            processor: self.processor.max(other.processor),
            growth_kib: self.growth_kib.max(other.growth_kib),
        }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (millis, mib) = (self.processor.as_millis(), self.growth_kib / 1024);
        write!(f, "{millis} ms of processor time, {mib} MiB more")
    }
}

/// Tells what something cost, for whoever runs the test to see it.
#[expect(clippy::print_stderr, reason = "figures for whoever runs the test to see them")]
pub(super) fn tell(name: &str, cost: Cost) {
    eprintln!("{name}: {cost}");
}
