//! That bugs of the bridge are found: one is planted at a time, in the real code, and a site judged.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::run::{Done, Job, assert_right, run};
use super::sets::{has_points, is_all_asked_for};
use super::table::{Action, Order, POINTS, each_source};
use crate::golden;
use crate::support::{Shared, Site, fail, request, until};
use crate::torture::checker::{Rule, shown};
use crate::torture::run::tell;

use Action::{Delay, Fail, Kill};
use Rule::{Content, Counts, Doubled, End, Errors, Lost, Replies, TwoBodies};

/// How many sites are at work at a time. Those that are stuck only wait.
const AT_A_TIME: usize = 6;

/// How long nothing may happen at a site before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(8);

/// The store is put back from an older copy instead of all that happens at a site.
const OLDER_STORE: &str = "runs on an older store";

/// A bug: its name in the code, what is done to the bridge that has it, and which rules it may break.
/// None stands for a site that comes to no rest.
type Bug = (&'static str, &'static [(&'static str, Action, u32)], &'static [Rule]);

const LOAD: &[(&str, Action, u32)] = &[];
const OUTAGE: &[(&str, Action, u32)] = &[("dispatch.paused:location", Delay(1), 1)];
/// What was written is in doubt, and is sent again before its answers are looked at.
const IN_DOUBT: &[(&str, Action, u32)] = &[
    ("answers.read", Delay(1_500), 1),
    ("window.sent:wam.location.request", Delay(200), 1),
    ("window.sent:wam.location.request", Fail, 1),
    ("window.sent:wam.location.request", Delay(200), 2),
    ("window.sent:wam.location.request", Fail, 2),
];
const STUCK: &[Rule] = &[];

/// All of them.
const BUGS: &[Bug] = &[
    // Requests.
    (
        "settled before it is recorded",
        &[("store.recorded", Delay(800), 3), ("store.recorded", Kill, 3)],
        &[Lost],
    ),
    (
        "settles what is not recorded yet",
        &[
            ("store.recorded", Delay(800), 1),
            ("consumer.settled:ccb.sp.request", Delay(500), 1),
            ("consumer.settled:ccb.sp.request", Kill, 1),
        ],
        &[Lost],
    ),
    ("never settles", LOAD, STUCK),
    ("drops what it cannot read", LOAD, &[Lost]),
    ("knows no corrections", LOAD, &[Lost]),
    ("does not count resends", LOAD, &[Counts]),
    ("forgets who waits", LOAD, STUCK),
    ("supersedes in silence", LOAD, &[Replies]),
    ("parks in silence", LOAD, &[Replies]),
    // Asset locations, replies and notes.
    ("records a confirm before it publishes", &[("publisher.ready:location", Kill, 3)], &[End]),
    ("takes a failure for a confirm", &[("publisher.ready:location", Fail, 3)], &[End]),
    ("records the first of a window", LOAD, STUCK),
    ("keeps a lease", &[("publisher.ready:location", Fail, 3)], STUCK),
    ("ignores what is returned", OUTAGE, &[End]),
    ("never resumes", OUTAGE, STUCK),
    ("publishes twice", LOAD, &[Doubled]),
    ("sends under another id", IN_DOUBT, &[Counts]),
    ("sends other bytes", IN_DOUBT, &[TwoBodies]),
    ("looks for new ones", &[("dispatch.leased:location", Kill, 3)], STUCK),
    ("correlates amiss", LOAD, &[Content]),
    // Answers.
    ("believes no early answer", &[("dispatch.published:location", Delay(800), 3)], &[End]),
    ("takes a refusal for a success", LOAD, &[End]),
    ("ignores a contradiction", LOAD, &[Errors]),
    ("drops an answer it cannot read", LOAD, &[Errors]),
    ("waits for ever", LOAD, STUCK),
    // The store.
    ("loses a commit now and then", LOAD, &[Lost]),
    ("commits half a call", &[("store.reply", Fail, 3)], STUCK),
    ("keeps the leases of what was undone", &[("store.leased:location", Fail, 3)], STUCK),
    ("does not count the superseded", LOAD, &[Counts]),
    // An operator.
    ("leaves records open", LOAD, &[Errors]),
    ("tells billing what it knows", LOAD, &[Replies]),
    // The start.
    (OLDER_STORE, LOAD, STUCK),
    // The end of an outage.
    ("ends an outage too early", &[("dispatch.releasing:location", Kill, 2)], STUCK),
];

fn job((name, schedule, _): &Bug, seed: u32) -> Job {
    let order = |(name, action, visit): &(&str, Action, u32)| {
        let point = POINTS.iter().find(|point| point.name == *name).copied();
        let Some(point) = point else { fail(&format!("there is no point {name}")) };
        Order { point, action: *action, visit: *visit }
    };
    let orders = schedule.iter().map(order).collect();
    Job { seed, orders, planted: Some(*name), patience: Some(PATIENCE) }
}

/// What was found, if it is what the bug does.
fn found((_, _, rules): &Bug, done: &Done) -> Option<String> {
    if rules.is_empty() {
        let why = done.stuck.as_ref()?;
        return Some(format!("stuck: {}", why.split(';').next().unwrap_or_default()));
    }
    let fault = done.faults.iter().find(|fault| rules.contains(&fault.rule))?;
    let many = done.faults.iter().filter(|other| other.rule == fault.rule).count();
    Some(format!("{}, {many} times", fault.rule.name()))
}

fn find(bug: &Bug, seed: u32) -> Result<(), String> {
    let (begun, (name, _, rules)) = (Instant::now(), bug);
    let said = if *name == OLDER_STORE {
        runs_on_an_older_store(Some(name)).then(|| "the bridge runs".to_owned())
    } else {
        let done = run(&job(bug, seed));
        let said = found(bug, &done);
        if said.is_none() {
            let (stuck, faults) = (done.stuck, shown(&done.faults));
            return Err(format!("{name}: expected {rules:?}, found {stuck:?} and {faults}"));
        }
        said
    };
    tell(&format!("  {:>5.1?} {name}: {}", begun.elapsed(), said.as_deref().unwrap_or("nothing")));
    said.map(drop).ok_or_else(|| format!("{name}: not found"))
}

/// Whether a bridge runs on a store that was put back from an older copy.
fn runs_on_an_older_store(planted: Option<&str>) -> bool {
    let site = Site::at(&Shared::broker().vhost());
    let (store, copy) = (site.store(), site.path("copy.db"));
    for (sync_request, service_point) in [("S1", "P1"), ("S2", "P2")] {
        let bridge = site.start();
        site.synchronise(&request(sync_request, service_point));
        site.is_told(sync_request);
        bridge.stop();
        if sync_request == "S1" {
            fs::copy(&store, &copy).unwrap();
        }
    }
    for beside in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{beside}", store.display())).ok();
    }
    fs::copy(&copy, &store).unwrap();
    let mut bridge = site.beside().with("TIELINE_PLANTED", planted.unwrap_or_default()).spawn();
    until("a bridge that runs or has ended", || {
        (bridge.is_ready() || bridge.has_ended()).then_some(())
    });
    bridge.is_ready()
}

/// Does something with every bug, several at a time; gives what went wrong.
fn with_each(act: impl Fn(&Bug, u32) -> Result<(), String> + Sync) -> Vec<String> {
    let begun = Instant::now();
    let left: Mutex<VecDeque<_>> = Mutex::new(BUGS.iter().zip(1..).collect());
    let wrong = Mutex::new(Vec::new());
    let take = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || {
        while let Some((bug, seed)) = take() {
            if let Err(why) = act(bug, seed) {
                wrong.lock().unwrap_or_else(PoisonError::into_inner).push(why);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    tell(&format!("{} bugs, {:.1?}", BUGS.len(), begun.elapsed()));
    wrong.into_inner().unwrap()
}

#[test]
fn planted_bugs_of_the_bridge_are_found() {
    if has_points() {
        let missed = with_each(find);
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }
}

/// What the schedules find is the bug: without it they find nothing.
#[test]
fn nothing_is_found_where_nothing_is_planted() {
    if !has_points() || !is_all_asked_for() {
        return;
    }
    let found = with_each(|bug, seed| {
        let job = Job { planted: None, patience: None, ..job(bug, seed) };
        assert_right(&job, &run(&job));
        Ok(())
    });
    assert!(found.is_empty() && !runs_on_an_older_store(None));
}

#[test]
fn the_table_has_every_planted_bug_of_the_code_and_no_other() {
    let mut planted = BTreeSet::new();
    each_source(&golden::path("src"), &mut |source| {
        let calls = source.split("planted!(\"").skip(1);
        planted.extend(calls.map(|call| call.split('"').next().unwrap().to_owned()));
    });
    let table: BTreeSet<_> = BUGS.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    assert_eq!(table, planted);
}
