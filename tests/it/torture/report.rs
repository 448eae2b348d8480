//! What is told of a run: to people, and as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::measure::Usage;

use super::checker::{Fault, Rule};
use super::counts::Figures;
use super::endurance::Endured;
use super::plan::{Plan, figures_folder};
use super::run::tell as print;

/// How a run went.
pub(super) struct Course {
    pub(super) plan: Plan,
    pub(super) took: Duration,
    /// From the last fault, or when billing had sent everything, until nothing was under way.
    pub(super) drained: Duration,
    /// How many there were of each kind.
    pub(super) faults: BTreeMap<&'static str, u32>,
    pub(super) restarts: Vec<Duration>,
    pub(super) resumes: Vec<Duration>,
    /// What the bridge was like while a fault lasted.
    pub(super) endured: Vec<Endured>,
    pub(super) memory_peak_kib: u64,
    pub(super) broker: String,
}

/// Prints the figures of a run, and writes them to a file where somebody asked for one.
pub(super) fn tell(course: &Course, figures: &Figures, faults: &[Fault]) {
    let Course { plan, took, drained, .. } = course;
    let Plan { schedule, requests, seed, .. } = plan;
    print(&format!(
        "{}, seed {seed}, {requests} messages: settled after {took:.1?}, {drained:.1?} after the \
         last fault and the last message; the bridge had at most {} KiB",
        schedule.name(),
        course.memory_peak_kib
    ));
    for (kind, many) in &course.faults {
        print(&format!("  {kind:<44}{many:>9}"));
    }
    for (what, times) in [("starts", &course.restarts), ("resumes", &course.resumes)] {
        if let Some(times) = Times::of(times) {
            print(&format!(
                "  {what}: {} in {} to {} ms, half of them within {} ms",
                times.count, times.least, times.most, times.median
            ));
        }
    }
    for endured in &course.endured {
        print(&format!("  {endured}"));
    }
    print(figures.to_string().trim_end());
    print(&format!("  {:<44}{:>9}", "rules broken", faults.len()));
    if let Some(folder) = figures_folder() {
        let path = folder.join(format!("{}-{seed}.json", schedule.name()));
        let text = serde_json::to_string_pretty(&json(course, figures, faults)).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn json(course: &Course, figures: &Figures, faults: &[Fault]) -> Value {
    let count = |rule| faults.iter().filter(|fault| fault.rule == rule).count();
    let broken = Rule::ALL.map(|rule| (rule.name().to_owned(), Value::from(count(rule))));
    let times = |times: &[Duration]| {
        Times::of(times).map(|times| {
            json!({
                "count": times.count,
                "least": times.least,
                "median": times.median,
                "most": times.most,
            })
        })
    };
    json!({
        "schedule": course.plan.schedule.name(),
        "seed": course.plan.seed,
        "requests": course.plan.requests,
        "broker": course.broker,
        "faults": course.faults,
        "seconds": course.took.as_secs_f32(),
        "seconds_to_drain": course.drained.as_secs_f32(),
        "memory_peak_kib": course.memory_peak_kib,
        "rig_memory_peak_kib": Usage::of(std::process::id()).map_or(0, |usage| usage.memory_kib),
        "starts_ms": times(&course.restarts),
        "resumes_ms": times(&course.resumes),
        "endured": course.endured.iter().map(Endured::json).collect::<Vec<_>>(),
        "broken": serde_json::Map::from_iter(broken),
        "counts": figures.all(),
    })
}

/// Some times, in milliseconds.
struct Times {
    count: usize,
    least: u128,
    median: u128,
    most: u128,
}

impl Times {
    fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted: Vec<_> = times.iter().map(Duration::as_millis).collect();
        sorted.sort_unstable();
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        Some(Self { count: sorted.len(), least, median: sorted[sorted.len() / 2], most })
    }
}
