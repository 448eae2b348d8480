//! The one place that asks the machine for the time.

use jiff::Timestamp;

use crate::bridge::Clock;

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody asks")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        #[cfg(feature = "points")]
        let now = now.checked_add(crate::points::clock_shift()).unwrap_or(now);
        now
    }
}
