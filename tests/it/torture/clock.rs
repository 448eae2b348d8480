//! The schedule `clock`: the clock of the bridge jumps ahead and back, by up to a day.
//!
//! The machine's own clock is everybody's, so that a test build shifts its own (`src/points.rs`).

use std::fs;

use super::plan::{Plan, Schedule};
use super::random::Random;
use super::run::{Run, run};

/// In seconds.
const DAY: u32 = 24 * 60 * 60;

/// The clock is off by so many seconds from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deed {
    off: i64,
}

/// Ahead, back, and right.
pub(super) fn deal(random: &mut Random) -> [Deed; 3] {
    let (ahead, back) = (random.between(60, DAY), random.between(60, DAY));
    [Deed { off: i64::from(ahead) }, Deed { off: -i64::from(back) }, Deed { off: 0 }]
}

impl Run {
    pub(super) fn set_clock(&mut self, Deed { off }: Deed) {
        // A lease may end before its window has come back.
        self.doubts.bridge += 1;
        // Nobody reads half of it.
        let next = self.site.path("clock.next");
        fs::write(&next, off.to_string()).unwrap();
        fs::rename(next, self.site.path("clock")).unwrap();
    }

    /// Sets the clock ahead of all that it has shown, so that what was published while it was ahead,
    /// and is never answered, becomes overdue.
    pub(super) fn pass_every_clock(&mut self) {
        if self.plan.schedule == Schedule::Clock {
            self.set_clock(Deed { off: 3 * i64::from(DAY) });
        }
    }
}

#[test]
fn however_the_clock_is_set_every_request_ends_and_all_counts_agree() {
    if cfg!(feature = "points") {
        drop(run(Plan::of_environment(Schedule::Clock, 2_000, 6)));
    }
}
