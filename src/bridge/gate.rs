//! The gate before the publishers: open while it is certain enough that no other bridge has taken
//! over, shut from the moment in which that is in doubt until the fence was read.
//!
//! A process that was stopped and goes on does not know it. But the clock does: what beats each
//! second has not beaten for longer than that. And a connection that was lost may have been lost
//! because the broker thought us dead.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::ports::Clock;

/// How often the gate is told that the process runs.
pub const BEAT: Duration = Duration::from_secs(1);

/// How long no beat may have come for the process to count as running without a break. Shorter than
/// a heartbeat: a bridge that the broker still takes for alive keeps its deliveries, and nobody else
/// has them.
const BREAK_MIN: Duration = Duration::from_secs(3);

/// The gate.
pub struct Gate {
    clock: std::sync::Arc<dyn Clock>,
    began: Instant,
    /// When the last beat came, by the clock that only runs and by the one on the wall: a machine
    /// that was put to sleep wakes with the first one stopped.
    beat: AtomicU64,
    beat_on_wall: AtomicI64,
    /// The last look at the fence that was asked for, and the last one that must be over before
    /// anything passes.
    asked: AtomicU64,
    required: AtomicU64,
    looked: watch::Sender<u64>,
    ask: Notify,
}

impl Gate {
    /// An open gate.
    pub fn new(clock: std::sync::Arc<dyn Clock>) -> Self {
        let beat_on_wall = AtomicI64::new(clock.now().as_millisecond());
        Self {
            clock,
            began: Instant::now(),
            beat: AtomicU64::new(0),
            beat_on_wall,
            asked: AtomicU64::new(0),
            required: AtomicU64::new(0),
            looked: watch::Sender::new(0),
            ask: Notify::new(),
        }
    }

    /// Returns at once in the usual case; in doubt once the fence was read and is ours; never if it
    /// is not ours.
    pub async fn pass(&self) {
        if self.had_a_break() {
            self.look().await;
        } else {
            self.until(self.required.load(Ordering::Acquire)).await;
        }
    }

    /// Returns once the fence was read after this call, and is ours.
    pub async fn look(&self) {
        self.until(self.ask_for_a_look()).await;
    }

    /// The process runs. If it had a break, nothing passes until the fence was read.
    pub fn beat(&self) {
        if self.had_a_break() {
            self.required.store(self.ask_for_a_look(), Ordering::Release);
        }
        self.beat.store(self.ran(), Ordering::Release);
        self.beat_on_wall.store(self.clock.now().as_millisecond(), Ordering::Release);
    }

    /// Returns when somebody asks for a look.
    pub async fn until_asked(&self) {
        self.ask.notified().await;
    }

    /// The last look that was asked for, if it is not over.
    pub fn wanted(&self) -> Option<u64> {
        let asked = self.asked.load(Ordering::Acquire);
        (asked > *self.looked.borrow()).then_some(asked)
    }

    /// All looks up to this one are over: the fence is ours.
    pub fn is_ours(&self, look: u64) {
        self.looked.send_if_modified(|looked| {
            let is_later = look > *looked;
            *looked = look.max(*looked);
            is_later
        });
    }

    fn ask_for_a_look(&self) -> u64 {
        let look = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.ask.notify_one();
        look
    }

    async fn until(&self, look: u64) {
        if *self.looked.borrow() >= look {
            return;
        }
        let mut looked = self.looked.subscribe();
        // The sender lives as long as the gate.
        drop(looked.wait_for(|looked| *looked >= look).await);
    }

    fn had_a_break(&self) -> bool {
        let ran = self.ran().saturating_sub(self.beat.load(Ordering::Acquire));
        let on_wall = self.clock.now().as_millisecond();
        let on_wall = on_wall.saturating_sub(self.beat_on_wall.load(Ordering::Acquire));
        let longest = ran.max(u64::try_from(on_wall).unwrap_or(0));
        u128::from(longest) > BREAK_MIN.as_millis()
    }

    fn ran(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    struct Wall(Mutex<Timestamp>);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    fn gate() -> (Gate, Arc<Wall>) {
        let wall = Arc::new(Wall(Mutex::new(Timestamp::UNIX_EPOCH)));
        (Gate::new(Arc::clone(&wall) as Arc<dyn Clock>), wall)
    }

    fn sleep(wall: &Wall, seconds: i64) {
        *wall.0.lock().unwrap() += SignedDuration::from_secs(seconds);
    }

    #[test]
    fn what_comes_after_a_break_waits_for_a_look_whoever_notices_it_first() {
        let (gate, wall) = gate();
        assert!(gate.pass().now_or_never().is_some());
        sleep(&wall, 2);
        assert!(gate.pass().now_or_never().is_some(), "a busy machine is no break");
        sleep(&wall, 2);
        assert!(gate.pass().now_or_never().is_none(), "noticed by who publishes");
        gate.beat();
        assert!(gate.pass().now_or_never().is_none(), "noticed by the beat");
        let wanted = gate.wanted().unwrap();
        gate.is_ours(wanted - 1);
        assert!(gate.pass().now_or_never().is_none(), "a look of before tells nothing");
        gate.is_ours(wanted);
        assert!(gate.pass().now_or_never().is_some());
        assert_eq!(gate.wanted(), None);
    }

    #[test]
    fn a_look_is_one_that_begins_afterwards() {
        let (gate, _) = gate();
        assert!(gate.look().now_or_never().is_none());
        gate.is_ours(gate.wanted().unwrap());
        assert!(gate.pass().now_or_never().is_some());
        assert!(gate.look().now_or_never().is_none());
    }
}
