//! How fast a queue fills, taken from outside and alike for every program: from the first sighting
//! of a message to the last, so that no program's start is in it.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::Result;
use crate::figures::count;
use crate::wire::Wire;

/// How often the depth is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a message may take, so that a run ends however slow it is.
const WAIT_PER_MESSAGE_MAX: Duration = Duration::from_millis(10);

/// How long a run may take besides.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// How a queue filled.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Filling {
    /// Messages a second, from the first sighting on.
    pub(crate) rate: f64,
    /// From the call to the first sighting.
    pub(crate) until_first: Duration,
    /// From the call to the last.
    pub(crate) until_last: Duration,
}

/// Watches a queue, which nobody takes from, until it holds so many messages; `check` fails when
/// that can no longer come.
pub(crate) async fn watch(
    wire: &Wire,
    queue: &str,
    number: u64,
    mut check: impl FnMut() -> Result<()>,
) -> Result<Filling> {
    let begun = Instant::now();
    let wait_max = WAIT_MAX + WAIT_PER_MESSAGE_MAX.mul_f64(count(number));
    let mut first = None;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let depth = wire.depth(queue).await?;
        let after = begun.elapsed();
        if depth > 0 && first.is_none() {
            first = Some((after, depth));
        }
        if depth >= number {
            // A queue that was full at the first sighting was filled since the call.
            let seen = first.filter(|(_, before)| *before < number);
            let (since, before) = seen.unwrap_or((Duration::ZERO, 0));
            let rate = count(depth - before) / after.saturating_sub(since).as_secs_f64();
            let until_first = first.map_or(after, |(after, _)| after);
            return Ok(Filling { rate, until_first, until_last: after });
        }
        if after > wait_max {
            return Err(format!("found {depth} of {number} messages after {wait_max:?}").into());
        }
        check()?;
    }
}
