//! The one place that waits without being told: a fact is looked for until it is there.

use std::thread;
use std::time::{Duration, Instant};

/// How long a fact may take to come true. Long, because the machine may be busy; a test that
/// passes never waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long the machine rests between two looks.
const REST: Duration = Duration::from_millis(25);

/// Looks until there is something, and fails with `what` was expected if it never comes.
#[track_caller]
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// The same for what takes longer by nature than any single fact.
#[track_caller]
pub(crate) fn until_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if start.elapsed() > patience {
            fail(&format!("expected {what}, and after {patience:?} it is still not so"));
        }
        thread::sleep(REST);
    }
}

/// Lets a fault last. Nothing is waited for: the time is the fault itself, as that of an alarm.
pub(crate) fn hold(time: Duration) {
    thread::sleep(time);
}

/// The rest between two looks, for whoever has something to do between them.
pub(crate) fn pause() {
    thread::sleep(REST);
}

/// The rest between two tries to connect, for tasks.
pub(super) async fn rest() {
    tokio::time::sleep(REST).await;
}

/// Fails the test.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub(crate) fn fail(text: &str) -> ! {
    panic!("{text}")
}
