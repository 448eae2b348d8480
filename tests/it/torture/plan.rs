//! How large a run is, which faults it meets, and where: all of it follows from a schedule and three
//! numbers.

use std::path::PathBuf;
use std::time::Duration;

use super::random::Random;
use super::{broker, clock, cluster, disk, endurance, freeze, network};
use crate::support::fail;

/// How many asset locations and replies together come of a request, at the least: where the last
/// fault must lie to be on the way.
const FACTS_PER_REQUEST: f64 = 1.4;

/// In which part of the way faults lie that last: early, so that most of the work meets them.
const EARLY: f64 = 0.1;

/// How long a fault of an endurance lasts in a test run.
const LASTING: Duration = Duration::from_secs(3);

/// What kind of faults a run meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Schedule {
    /// The bridge is killed.
    Kills,
    /// The network is cut, silent or slow, at the bridge and at both systems.
    Network,
    /// The broker dies, starves, and loses queues, bindings and messages.
    Broker,
    /// The disk of the store is full.
    Disk,
    /// The bridge or asset management stands still.
    Freeze,
    /// The broker is three nodes, of which one dies or two do not answer.
    Cluster,
    /// The broker is low on memory for long.
    Alarm,
    /// Asset management is away for long, and its queue takes everything.
    Away,
    /// Asset management is away for long, and its queue is full: the bridge has the backlog.
    Backlog,
    /// The clock of the bridge jumps.
    Clock,
}

/// A fault.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Deed {
    Kill,
    Network(network::Deed),
    Broker(broker::Deed),
    Disk(disk::Deed),
    Freeze(freeze::Deed),
    Cluster(cluster::Deed),
    Endurance(endurance::Deed),
    Clock(clock::Deed),
}

/// A fault, and after how many asset locations and replies together it comes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Step {
    pub(super) at: u64,
    pub(super) deed: Deed,
}

/// The numbers of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) schedule: Schedule,
    pub(super) requests: u32,
    pub(super) faults: u32,
    pub(super) seed: u32,
    /// How long a fault of an endurance lasts, at least.
    pub(super) lasting: Duration,
}

impl Schedule {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Network => "network",
            Self::Broker => "broker",
            Self::Disk => "disk",
            Self::Freeze => "freeze",
            Self::Cluster => "cluster",
            Self::Alarm => "alarm",
            Self::Away => "away",
            Self::Backlog => "backlog",
            Self::Clock => "clock",
        }
    }

    /// Whether its faults last for long.
    pub(super) fn lasts(self) -> bool {
        matches!(self, Self::Alarm | Self::Away | Self::Backlog)
    }

    /// As many faults, every kind of the schedule before any comes again.
    fn deeds(self, count: u32, random: &mut Random) -> Vec<Deed> {
        let mut deeds = Vec::new();
        while deeds.len() < count as usize {
            let mut round: Vec<Deed> = match self {
                Self::Kills => vec![Deed::Kill],
                Self::Network => network::deal(random).map(Deed::Network).into(),
                Self::Broker => broker::deal(random).map(Deed::Broker).into(),
                Self::Disk => disk::deal(random).map(Deed::Disk).into(),
                Self::Freeze => freeze::deal(random).map(Deed::Freeze).into(),
                Self::Cluster => cluster::deal(random).map(Deed::Cluster).into(),
                Self::Alarm => vec![Deed::Endurance(endurance::Deed::Alarm)],
                Self::Away => vec![Deed::Endurance(endurance::Deed::Away)],
                Self::Backlog => vec![Deed::Endurance(endurance::Deed::Backlog)],
                Self::Clock => clock::deal(random).map(Deed::Clock).into(),
            };
            random.shuffle(&mut round);
            deeds.extend(round);
        }
        deeds.truncate(count as usize);
        deeds
    }
}

impl Deed {
    /// The kind, for figures.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "kill of the bridge",
            Self::Network(deed) => deed.kind(),
            Self::Broker(deed) => deed.kind(),
            Self::Disk(_) => "full disk",
            Self::Freeze(deed) => deed.kind(),
            Self::Cluster(deed) => deed.kind(),
            Self::Endurance(deed) => deed.kind(),
            Self::Clock(_) => "clock set",
        }
    }
}

impl Plan {
    /// What the environment asks for; by default as many requests and faults as a test run can
    /// afford.
    pub(super) fn of_environment(schedule: Schedule, requests: u32, faults: u32) -> Self {
        let number = |name, usual| {
            let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty()) else {
                return usual;
            };
            let number = text.to_str().and_then(|text| text.parse().ok());
            number.unwrap_or_else(|| {
                fail(&format!("{name}: found {}, expected a number", text.display()))
            })
        };
        Self {
            schedule,
            requests: number("TIELINE_TEST_REQUESTS", requests),
            faults: number("TIELINE_TEST_FAULTS", faults),
            seed: number("TIELINE_TEST_SEED", 1),
            lasting: match number("TIELINE_TEST_MINUTES", 0) {
                0 => LASTING,
                minutes => Duration::from_mins(u64::from(minutes)),
            },
        }
    }

    /// The faults, in order.
    pub(super) fn steps(&self) -> Vec<Step> {
        let part = if self.schedule.lasts() { EARLY } else { 1.0 };
        let facts = f64::from(self.requests) * FACTS_PER_REQUEST * part;
        let step = facts / f64::from(self.faults + 1);
        let mut random = Random::of(self.seed);
        let points: Vec<_> = (1..=self.faults)
            .map(|fault| {
                let shift = random.fraction() * 0.8 - 0.4;
                rounded(step * (f64::from(fault) + shift))
            })
            .collect();
        let deeds = self.schedule.deeds(self.faults, &mut random);
        points.into_iter().zip(deeds).map(|(at, deed)| Step { at, deed }).collect()
    }

    /// How long the run may take between two facts that it waits for.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_mins(5) + Duration::from_millis(2) * self.requests
    }
}

/// The folder for the figures of a run, if somebody asked for one.
pub(super) fn figures_folder() -> Option<PathBuf> {
    std::env::var_os("TIELINE_TEST_FIGURES").filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Schedule; 10] = [
        Schedule::Kills,
        Schedule::Network,
        Schedule::Broker,
        Schedule::Disk,
        Schedule::Freeze,
        Schedule::Cluster,
        Schedule::Alarm,
        Schedule::Away,
        Schedule::Backlog,
        Schedule::Clock,
    ];

    fn plan(schedule: Schedule, requests: u32) -> Plan {
        Plan { schedule, requests, faults: 2, seed: 3, lasting: LASTING }
    }

    #[test]
    fn faults_lie_on_the_way_and_follow_from_the_seed() {
        for schedule in ALL {
            let plan = Plan { faults: 20, seed: 7, ..plan(schedule, 3_000) };
            let steps = plan.steps();
            assert!(steps.is_sorted_by_key(|step| step.at) && steps.len() == 20, "{steps:?}");
            assert!(steps[0].at > 0 && steps[19].at < 4_200, "{steps:?}");
            assert_eq!(steps, plan.steps());
            assert_ne!(steps, Plan { seed: 8, ..plan }.steps());
        }
    }

    /// Written down, so that a seed of last year still means what it meant.
    #[test]
    fn a_seed_means_the_same_faults_for_ever() {
        let told: Vec<_> = ALL
            .into_iter()
            .flat_map(|schedule| plan(schedule, 2_000).steps())
            .map(|Step { at, deed }| format!("{at} {deed:?}"))
            .collect();
        assert_eq!(told, EXPECTED, "{told:#?}");
    }

    const EXPECTED: [&str; 20] = [
        "645 Kill",
        "2016 Kill",
        "645 Network(AtConfirm(Bridge, 48))",
        "2016 Network(Reset(Assets))",
        "645 Broker(Restart)",
        "2016 Broker(Delete(Location))",
        "645 Disk(Deed { left: 124164 })",
        "2016 Disk(Deed { left: 222762 })",
        "645 Freeze(Bridge)",
        "2016 Freeze(Assets(197))",
        "645 Cluster(LeaveAlone(0))",
        "2016 Cluster(Kill(0))",
        "64 Endurance(Alarm)",
        "202 Endurance(Alarm)",
        "64 Endurance(Away)",
        "202 Endurance(Away)",
        "64 Endurance(Backlog)",
        "202 Endurance(Backlog)",
        "645 Clock(Deed { off: 0 })",
        "2016 Clock(Deed { off: -44364 })",
    ];
}
