//! Both systems: processes of the real binary, each with a history of all that it sent and received.

use std::path::PathBuf;
use std::process::Child;

use super::evidence::Tally;
use super::plan::{Plan, Schedule};
use crate::support::{Site, signal, until};

/// Faults of billing: much of everything.
const BILLING: &str = "--malformed 0.01 --unmapped 0.01 --missing 0.01 --too-long 0.01 \
    --duplicate 0.04 --corrected 0.04 --newer 0.08 --items 0.1 --encodings 0.03 --bare 0.02 \
    --until-quiet 24h";

/// Faults of asset management: much of everything, and answers that are later than `answer.timeout`.
const ASSETS: &str = "--negative 0.04 --doubled 0.02 --positive-then-negative 0.01 \
    --negative-then-positive 0.01 --silent 0.005 --malformed 0.005 --orphan 0.01 \
    --by-body-only 0.02 --late 0.01 --late-by 5s";

/// How many messages a second billing sends through a fault that lasts, at most. A window is a
/// twentieth of it, of which each message has a line in the history for each time that a blocked
/// broker did not take it.
const ENDURANCE_RATE_MAX: u32 = 1_500;

/// How long it sends at the least: so that the fault comes in time also on a busy machine.
const ENDURANCE_SECONDS: u32 = 6;

/// What billing does.
pub(super) fn billing(plan: &Plan) -> String {
    let Plan { seed, requests, faults, .. } = plan;
    // A fault that waits for messages must find some: billing sends for as long as faults last. Kills
    // are over at once, and fall behind whoever is fastest.
    let seconds = match plan.schedule {
        Schedule::Kills => 0,
        Schedule::Clock => 1,
        Schedule::Disk => 3,
        Schedule::Network => 4,
        Schedule::Freeze => 5,
        Schedule::Broker => 9,
        Schedule::Cluster => 12,
        Schedule::Alarm | Schedule::Away | Schedule::Backlog => 0,
    };
    let pace = match requests.checked_div(faults * seconds) {
        _ if plan.schedule.lasts() => {
            let rate = (requests / ENDURANCE_SECONDS).clamp(20, ENDURANCE_RATE_MAX);
            format!("--rate {rate}")
        }
        Some(rate) => format!("--rate {}", rate.clamp(20, 1_500)),
        None => String::new(),
    };
    format!("--seed {seed} --number {requests} {pace} {BILLING}")
}

/// What asset management does.
pub(super) fn assets(plan: &Plan) -> String {
    format!("--seed {} {ASSETS}", plan.seed)
}

/// One of both systems. It never outlives its test.
pub(super) struct Standin {
    child: Child,
    pub(super) history: PathBuf,
}

impl Standin {
    /// Starts it; it goes to the broker by this URL.
    pub(super) fn start(site: &Site, url: &str, role: &str, options: &str) -> Self {
        let history = site.path(&format!("{role}.jsonl"));
        let path = history.display().to_string();
        let mut args = vec!["simulate", role, "--json", "--history", &path];
        args.extend(options.split_whitespace());
        Self { child: site.spawn_at(url, &args), history }
    }

    /// SIGSTOP: it is there and does nothing.
    pub(super) fn freeze(&self) {
        signal(self.child.id(), "STOP");
    }

    /// SIGCONT: it goes on.
    pub(super) fn thaw(&self) {
        signal(self.child.id(), "CONT");
    }

    /// SIGTERM, and what it has tallied.
    pub(super) fn stop(&mut self) -> Tally {
        signal(self.child.id(), "TERM");
        until("a stand-in to end", || self.child.try_wait().unwrap());
        serde_json::from_reader(self.child.stdout.take().unwrap()).unwrap()
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
