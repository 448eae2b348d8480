//! The schedule `kills`: SIGKILL of the bridge, and a new one at once.

use super::plan::{Plan, Schedule};
use super::run::{Run, run};

impl Run {
    pub(super) fn kill_bridge(&mut self) {
        self.note_memory();
        self.doubts.bridge += 1;
        self.restart_bridge();
    }
}

#[test]
fn however_often_it_is_killed_every_request_ends_and_all_counts_agree() {
    drop(run(Plan::of_environment(Schedule::Kills, 3_000, 3)));
}
