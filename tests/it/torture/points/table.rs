//! Every crash point of the bridge: where it is met, and whether it can be made to fail.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::golden;

/// When a process passes a point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Met {
    /// A bridge that starts on a store that is not there yet.
    New,
    /// A bridge whose asset locations find no queue for a while.
    Outage,
    /// A bridge that asset management is away from for longer than `unreachable.park_after`.
    Parking,
    /// A bridge that gets what lapin cannot read.
    Care,
    /// A bridge that starts.
    Start,
    /// A bridge at work.
    Work,
    /// An operator's command.
    Command,
    /// A bridge that was asked to stop.
    Stop,
}

/// What making it fail comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failing {
    /// There is nothing there that can fail.
    Never,
    /// The bridge goes on.
    GoesOn,
    /// The process ends.
    Ends,
}

/// A point: its name, with its scope behind a colon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Point {
    pub(super) name: &'static str,
    pub(super) met: Met,
    pub(super) failing: Failing,
}

const fn point(name: &'static str, met: Met, failing: Failing) -> Point {
    Point { name, met, failing }
}

use Failing::{Ends, GoesOn, Never};
use Met::{Care, Command, New, Outage, Parking, Start, Stop, Work};

/// All of them, in the order of `docs/architecture.md`. What is met in two ways stands here twice.
pub(super) const POINTS: &[Point] = &[
    // The start.
    point("store.locked", New, Never),
    point("store.migrating", New, Never),
    point("store.migrated", New, Ends),
    point("start.opened", Start, Ends),
    point("declare.queue", Start, Never),
    point("start.queues", Start, Ends),
    point("fence.read", Start, Never),
    point("fence.compared", Start, Never),
    point("start.fenced", Start, Ends),
    point("start.running", Start, Never),
    // A request comes in.
    point("consumer.begun:ccb.sp.request", Start, GoesOn),
    point("consumer.delivered:ccb.sp.request", Work, GoesOn),
    point("intake.translated", Work, Never),
    point("store.begun", Work, GoesOn),
    point("store.recorded", Work, GoesOn),
    point("store.overtaken", Work, GoesOn),
    point("store.commit", Work, GoesOn),
    point("store.committed", Work, Never),
    point("consumer.recorded:ccb.sp.request", Work, GoesOn),
    point("consumer.settled:ccb.sp.request", Work, GoesOn),
    // An asset location goes out.
    point("session.connected", Start, GoesOn),
    point("window.sent:tieline.trial", Start, GoesOn),
    point("store.leased:location", Work, GoesOn),
    point("dispatch.leased:location", Work, Never),
    point("publisher.ready:location", Work, GoesOn),
    point("window.sent:wam.location.request", Work, GoesOn),
    point("dispatch.published:location", Work, Never),
    point("store.finished:location", Work, GoesOn),
    point("dispatch.finished:location", Work, Never),
    point("dispatch.paused:location", Outage, Never),
    point("dispatch.resumed:location", Outage, Never),
    // An outage that lasts parks what waits, and then releases it.
    point("store.parked:location", Parking, GoesOn),
    point("dispatch.parked:location", Parking, Never),
    point("dispatch.releasing:location", Parking, Never),
    point("store.ordered", Parking, GoesOn),
    point("dispatch.released:location", Parking, Never),
    point("dispatch.resumed:location", Parking, Never),
    // An answer comes in.
    point("consumer.begun:wam.location.ack", Start, GoesOn),
    point("consumer.delivered:wam.location.ack", Work, GoesOn),
    point("answers.read", Work, Never),
    point("store.settled", Work, GoesOn),
    point("store.reply", Work, GoesOn),
    point("consumer.recorded:wam.location.ack", Work, GoesOn),
    point("consumer.settled:wam.location.ack", Work, GoesOn),
    point("store.overdue", Work, GoesOn),
    point("sweep.marked", Work, Never),
    // A reply goes out.
    point("store.leased:reply", Work, GoesOn),
    point("dispatch.leased:reply", Work, Never),
    point("publisher.ready:reply", Work, GoesOn),
    point("window.sent:ccb.sp.ack", Work, GoesOn),
    point("dispatch.published:reply", Work, Never),
    point("store.finished:reply", Work, GoesOn),
    point("dispatch.finished:reply", Work, Never),
    // What failed is noted on the error queues, and comes back to the desk.
    point("store.leased:note", Work, GoesOn),
    point("dispatch.leased:note", Work, Never),
    point("publisher.ready:note", Work, GoesOn),
    point("window.sent:request.TL2002", Work, GoesOn),
    point("dispatch.published:note", Work, Never),
    point("store.finished:note", Work, GoesOn),
    point("dispatch.finished:note", Work, Never),
    point("consumer.begun:ccb.sp.request.error", Start, GoesOn),
    point("consumer.begun:wam.location.ack.error", Start, GoesOn),
    point("consumer.delivered:ccb.sp.request.error", Work, GoesOn),
    point("consumer.delivered:wam.location.ack.error", Work, GoesOn),
    point("desk.looked:request", Work, Never),
    point("desk.looked:answer", Work, Never),
    point("store.taking_in", Work, GoesOn),
    point("consumer.recorded:ccb.sp.request.error", Work, GoesOn),
    point("consumer.recorded:wam.location.ack.error", Work, GoesOn),
    point("consumer.settled:ccb.sp.request.error", Work, GoesOn),
    point("consumer.settled:wam.location.ack.error", Work, GoesOn),
    // What lapin cannot read is read with care.
    point("careful.called:ccb.sp.request", Care, GoesOn),
    point("careful.delivered:ccb.sp.request", Care, GoesOn),
    point("careful.recorded:ccb.sp.request", Care, GoesOn),
    point("careful.settled:ccb.sp.request", Care, GoesOn),
    point("careful.closed:ccb.sp.request", Care, GoesOn),
    point("careful.called:wam.location.ack", Care, GoesOn),
    point("careful.delivered:wam.location.ack", Care, GoesOn),
    point("careful.recorded:wam.location.ack", Care, GoesOn),
    point("careful.settled:wam.location.ack", Care, GoesOn),
    point("careful.closed:wam.location.ack", Care, GoesOn),
    // An operator.
    point("operator.selected", Command, Never),
    point("store.ordered", Command, Ends),
    point("operator.ordered", Command, Never),
    // The fence is moved on.
    point("fence.held", Start, GoesOn),
    point("window.sent:tieline.fence", Start, GoesOn),
    point("fence.published", Start, GoesOn),
    // The stop.
    point("consumer.stopped:ccb.sp.request", Stop, Never),
    point("consumer.stopped:wam.location.ack", Stop, Never),
    point("consumer.stopped:ccb.sp.request.error", Stop, Never),
    point("consumer.stopped:wam.location.ack.error", Stop, Never),
    point("stop.drained", Stop, Never),
    point("fence.last", Stop, Never),
];

/// What is done at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    Kill,
    Fail,
    /// So many milliseconds.
    Delay(u32),
}

/// Something to be done at one visit of a point; shown as `src/points.rs` reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) point: Point,
    pub(super) action: Action,
    pub(super) visit: u32,
}

impl Order {
    /// Whether the process ends by it.
    pub(super) fn is_deadly(&self) -> bool {
        match self.action {
            Action::Kill => true,
            Action::Fail => self.point.failing == Ends,
            Action::Delay(_) => false,
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point: Point { name, .. }, action, visit } = self;
        match action {
            Action::Kill => write!(f, "{name}=kill@{visit}"),
            Action::Fail => write!(f, "{name}=fail@{visit}"),
            Action::Delay(time) => write!(f, "{name}=delay.{time}@{visit}"),
        }
    }
}

#[test]
fn the_table_has_every_point_of_the_code_and_no_other() {
    let mut marked = BTreeSet::new();
    let mut can_fail = BTreeSet::new();
    each_source(&golden::path("src"), &mut |source| {
        for call in source.split("point!(\"").skip(1) {
            let (name, rest) = call.split_once('"').unwrap();
            marked.insert(name.to_owned());
            if rest.lines().next().is_some_and(|line| line.contains(", return ")) {
                can_fail.insert(name.to_owned());
            }
        }
    });
    let bare = |point: &Point| point.name.split(':').next().unwrap().to_owned();
    assert_eq!(POINTS.iter().map(bare).collect::<BTreeSet<_>>(), marked);
    let failing = POINTS.iter().filter(|point| point.failing != Never).map(bare);
    assert_eq!(failing.collect::<BTreeSet<_>>(), can_fail);
}

/// Reads every file of the bridge.
pub(super) fn each_source(folder: &Path, look: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&fs::read_to_string(path).unwrap());
        }
    }
}
