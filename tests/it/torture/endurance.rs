//! The schedules `alarm`, `away` and `backlog`: a fault that lasts, for an hour if somebody asks for
//! it, while billing goes on sending. What waits must cost the bridge no memory, and everything must
//! go on by itself when it is over.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::broker::Lane;
use super::plan::{Plan, Schedule};
use super::report::Course;
use super::run::{MEMORY_MAX_KIB, Run, run, tell};
use crate::support::{Weather, fail, hold, queue, until_within};

/// How many asset locations the queue takes whose reader is away, in `backlog`.
const QUEUE_MAX: u32 = 200;

/// How much more memory the bridge may hold once nothing comes in any more. Only connections that are
/// tried again take some. Until then it has the limit of any load: whatever waits fits into that.
const IDLE_GROWTH_MAX_KIB: u64 = 16 * 1024;

/// How often memory is looked at.
const LOOKS: u32 = 50;
const LOOK_MAX: Duration = Duration::from_secs(5);

/// How often of these are told while it lasts.
const TOLD: u32 = 12;

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// The broker is low on memory: it takes no messages.
    Alarm,
    /// Asset management is away; its queue takes what is sent.
    Away,
    /// Asset management is away, and its queue is full.
    Backlog,
}

impl Deed {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Alarm => "memory alarm that lasts",
            Self::Away => "asset management away",
            Self::Backlog => "asset management away, its queue full",
        }
    }
}

/// What the bridge was like while a fault lasted.
#[derive(Clone, Debug)]
pub(super) struct Endured {
    lasted: Duration,
    /// Its memory at each look.
    memory_kib: Vec<u64>,
    /// From which look on nothing came in any more.
    idle_from: usize,
    /// How many asset locations waited in the store at the end, and how many on their queue.
    in_store: u64,
    on_queue: u64,
}

impl Endured {
    fn begin(&self) -> u64 {
        self.memory_kib.first().copied().unwrap_or_default()
    }

    fn end(&self) -> u64 {
        self.memory_kib.last().copied().unwrap_or_default()
    }

    fn peak(&self) -> u64 {
        self.memory_kib.iter().copied().max().unwrap_or_default()
    }

    /// How much memory was added at the most once nothing came in any more.
    fn idle_growth(&self) -> u64 {
        let idle = &self.memory_kib[self.idle_from.min(self.memory_kib.len())..];
        let peak = idle.iter().copied().max().unwrap_or_default();
        peak - idle.first().copied().unwrap_or_default()
    }

    fn assert_flat(&self) {
        assert!(self.peak() <= MEMORY_MAX_KIB, "{self}; expected at most {MEMORY_MAX_KIB} KiB");
        assert!(
            self.idle_growth() <= IDLE_GROWTH_MAX_KIB,
            "{self}; expected at most {IDLE_GROWTH_MAX_KIB} KiB more while nothing comes in"
        );
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "seconds": self.lasted.as_secs_f32(),
            "looks": self.memory_kib.len(),
            "memory_begin_kib": self.begin(),
            "memory_end_kib": self.end(),
            "memory_peak_kib": self.peak(),
            "memory_idle_growth_kib": self.idle_growth(),
            "waiting_in_store": self.in_store,
            "waiting_on_queue": self.on_queue,
        })
    }
}

impl fmt::Display for Endured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle_growth = self.idle_growth();
        write!(
            f,
            "lasted {:.1?}: memory {} KiB at its begin, {} at its end, {} at most of {} looks, \
             {idle_growth} more while nothing came in; {} asset locations waited in the store, {} on \
             their queue",
            self.lasted,
            self.begin(),
            self.end(),
            self.peak(),
            self.memory_kib.len(),
            self.in_store,
            self.on_queue,
        )
    }
}

impl Run {
    /// Says whether anything was under way that the fault could meet.
    pub(super) fn endure(&mut self, deed: Deed) -> bool {
        match deed {
            // A connection that was published on is silent until it is given up.
            Deed::Alarm => {
                self.doubt_everybody();
                self.turn_alarm(true);
            }
            Deed::Away => self.cut_off(Lane::Location),
            Deed::Backlog => {
                self.limit_locations(QUEUE_MAX);
                self.cut_off(Lane::Location);
            }
        }
        let endured = self.last(deed);
        tell(&endured.to_string());
        let waiting = endured.in_store + endured.on_queue;
        self.endured.push(endured);
        let before = self.progress.look();
        match deed {
            Deed::Alarm => self.turn_alarm(false),
            Deed::Away => self.gates.assets.turn(Weather::Open),
            Deed::Backlog => {
                self.lift_limit();
                self.gates.assets.turn(Weather::Open);
            }
        }
        let over = Instant::now();
        let is_on =
            until_within(self.plan.patience(), "something to go the whole way again", || {
                let seen = self.progress.look();
                let is_on = seen.locations > before.locations && seen.replies > before.replies;
                (is_on || waiting == 0 && self.has_met_nothing()).then_some(is_on)
            });
        if is_on {
            self.resumes.push(over.elapsed());
        }
        is_on
    }

    /// Lets the fault last, until billing has sent all that it can and the bridge has taken it in.
    fn last(&mut self, deed: Deed) -> Endured {
        let (lasting, patience) = (self.plan.lasting, self.plan.patience());
        let pause = (lasting / LOOKS).min(LOOK_MAX);
        let (start, mut memory_kib, mut told) = (Instant::now(), Vec::new(), 0);
        let (mut sent, mut idle_from) = (None, None);
        while idle_from.is_none() || start.elapsed() < lasting {
            memory_kib.extend(self.bridge().memory_kib());
            let sent_before = sent.replace(self.progress.look().sent);
            // What billing cannot send now it has still to send.
            let is_alarm = deed == Deed::Alarm;
            let is_all = if is_alarm { sent == sent_before } else { self.is_too_late() };
            let is_idle = is_all && self.site.client.depth(queue::REQUEST) == Some(0);
            idle_from = if is_idle { idle_from.or(Some(memory_kib.len())) } else { None };
            if start.elapsed() >= told * (lasting / TOLD) {
                told += 1;
                let (seen, memory) = (self.progress.look(), memory_kib.last().copied());
                let (time, memory) = (start.elapsed(), memory.unwrap_or_default());
                tell(&format!("  for {time:.1?}: {} sent, {memory} KiB", seen.sent));
            }
            if start.elapsed() > lasting + patience {
                fail(&format!(
                    "expected nothing to come in any more {patience:?} after {lasting:?}"
                ));
            }
            hold(pause);
        }
        memory_kib.extend(self.bridge().memory_kib());
        let lasted = start.elapsed();
        let status = self.site.cli(&["store", "status", "--json"]).ended(0).json();
        let in_store = status["outbox"]["location"].as_u64().unwrap_or_default();
        let on_queue = self.site.client.depth(queue::LOCATION).map_or(0, u64::from);
        Endured { lasted, memory_kib, idle_from: idle_from.unwrap_or(0), in_store, on_queue }
    }
}

/// Carries out a schedule whose fault lasts; the bridge must not grow meanwhile.
fn last(schedule: Schedule, requests: u32) {
    if let Some(Course { endured, .. }) = run(Plan::of_environment(schedule, requests, 1)) {
        endured.iter().for_each(Endured::assert_flat);
    }
}

mod alarm {
    use super::*;

    #[test]
    fn however_long_the_broker_is_low_on_memory_everything_goes_on_by_itself() {
        last(Schedule::Alarm, 2_000);
    }
}

mod away {
    use super::*;

    #[test]
    fn however_long_asset_management_is_away_everything_goes_on_by_itself() {
        last(Schedule::Away, 2_000);
    }
}

mod backlog {
    use super::*;

    #[test]
    fn however_much_waits_in_the_bridge_it_costs_no_memory_and_goes_out_by_itself() {
        last(Schedule::Backlog, 2_000);
    }
}
