//! The schedule `freeze`: somebody is there and does nothing (SIGSTOP), then goes on as if nothing
//! had been.

use std::time::Duration;

use super::plan::{Plan, Schedule};
use super::random::Random;
use super::run::{Run, run};
use crate::support::{queue, until_within};

/// How soon the broker must give a frozen bridge up: the heartbeat of the run is 2 s.
const GIVEN_UP_MAX: Duration = Duration::from_secs(20);

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// The bridge, until the broker has given it up: for longer than two heartbeats.
    Bridge,
    /// Asset management, until so many asset locations wait for it.
    Assets(u32),
}

/// One of each kind.
pub(super) fn deal(random: &mut Random) -> [Deed; 2] {
    [Deed::Bridge, Deed::Assets(random.between(50, 200))]
}

impl Deed {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Bridge => "frozen bridge",
            Self::Assets(_) => "frozen asset management",
        }
    }
}

impl Run {
    pub(super) fn freeze(&mut self, deed: Deed) {
        match deed {
            Deed::Bridge => {
                self.doubts.bridge += 1;
                self.bridge().freeze();
                until_within(GIVEN_UP_MAX, "the broker to give the frozen bridge up", || {
                    let listed = self.ctl(&["list_consumers", "--quiet"]);
                    (!listed.contains(queue::REQUEST) && !listed.contains(queue::ANSWER))
                        .then_some(())
                });
                self.bridge().thaw();
            }
            Deed::Assets(waiting) => {
                self.doubts.assets += 1;
                self.assets.freeze();
                until_within(
                    self.plan.patience(),
                    &format!("{waiting} asset locations to wait"),
                    || {
                        let depth = self.site.client.depth(queue::LOCATION);
                        depth.filter(|depth| *depth >= waiting)
                    },
                );
                self.assets.thaw();
            }
        }
    }
}

#[test]
fn whoever_stands_still_every_request_ends_and_all_counts_agree() {
    drop(run(Plan::of_environment(Schedule::Freeze, 2_000, 4)));
}
