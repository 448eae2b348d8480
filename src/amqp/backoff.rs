//! How long to wait between attempts at a connection: exponential, capped, with full jitter, so
//! that many clients do not come back to a broker all at once.
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
//!
//! Built on `backon`; the crate `backoff` is unmaintained (RUSTSEC-2025-0012).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The cap of the first wait.
const FIRST: Duration = Duration::from_millis(200);

/// The cap of every wait.
const MAX: Duration = Duration::from_secs(30);

/// The waits between attempts; never gives up.
#[derive(Debug)]
pub struct Backoff {
    max: Duration,
    caps: ExponentialBackoff,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Begins with short waits.
    pub fn new() -> Self {
        Self::up_to(MAX)
    }

    /// The same with a lower cap of every wait, for what costs little to try.
    pub fn up_to(max: Duration) -> Self {
        Self { max, caps: caps(max) }
    }

    /// The next wait: somewhere between nothing and a cap that doubles from 0.2 s to 30 s, or to
    /// the lower one.
    pub fn next_wait(&mut self) -> Duration {
        self.caps.next().unwrap_or(self.max).mul_f64(fraction())
    }

    /// Begins anew, after things went well for a while.
    pub fn reset(&mut self) {
        self.caps = caps(self.max);
    }
}

fn caps(max: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST)
        .with_max_delay(max)
        .with_factor(2.0)
        .without_max_times()
        .build()
}

/// A number from 0 to 1. The standard library keys every `RandomState` differently, which is all
/// the chance that a jitter needs.
#[expect(clippy::cast_precision_loss, reason = "32 bits fit a double")]
fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    bits as f64 / u64::from(u32::MAX) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_never_beyond() {
        let mut backoff = Backoff::new();
        assert!(backoff.next_wait() <= FIRST);
        let waits: Vec<_> = (0..200).map(|_| backoff.next_wait()).collect();
        assert!(waits.iter().all(|wait| *wait <= MAX));
        assert!(waits.iter().any(|wait| *wait > MAX / 2));
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }

    #[test]
    fn a_lower_cap_is_never_exceeded() {
        let max = Duration::from_secs(3);
        let mut backoff = Backoff::up_to(max);
        for _ in 0..2 {
            assert!((0..100).all(|_| backoff.next_wait() <= max));
            backoff.reset();
        }
    }
}
