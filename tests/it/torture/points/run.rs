//! A site for some orders: a bridge that is started again whenever it dies, both systems, an operator
//! with a mended mapping, a stop; and the judgement.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::time::{Duration, Instant};

use super::poison::Poison;
use super::table::{Action, Met, Order};
use crate::support::{Bridge, Desk, Gate, Shared, Site, fail, pause, queue};
use crate::torture::checker::{self, Fault};
use crate::torture::evidence::{Doubts, Evidence, OpenError};
use crate::torture::progress::Progress;
use crate::torture::settled::is_at_rest;
use crate::torture::standin::Standin;
use crate::torture::{reading, run};

/// Small windows and batches, so that a bridge that dies has not done everything before.
const SETTINGS: [(&str, &str); 10] = [
    ("amqp.window", "10"),
    ("amqp.prefetch", "40"),
    ("amqp.batch", "20"),
    ("answer.timeout", "2s"),
    ("unreachable.retry_max", "300ms"),
    ("unreachable.park_after", "never"),
    ("retry.tries_max", "1000"),
    ("retry.delay_min", "100ms"),
    ("retry.delay_max", "300ms"),
    ("telemetry.log", "warn,tieline::runtime=info,tieline::bridge=info,tieline::amqp=info"),
];

/// Two windows of ten are out at a time.
const IN_DOUBT: u64 = 20;

/// How many messages billing sends.
const REQUESTS: u64 = 160;

const BILLING: &str = "--number 160 --malformed 0.02 --unmapped 0.06 --missing 0.03 \
    --too-long 0.02 --duplicate 0.04 --corrected 0.05 --newer 0.15 --items 0.1 --encodings 0.03 \
    --until-quiet 1h --stay";

const USUAL: &str = "--rate 160 --bare 0.02";

/// Where an outage parks: of several contents without properties billing could not say which is meant.
const PARKED: &str = "--rate 160";

/// Where lapin cannot read: there is to be something behind each.
const CAREFUL: &str = "--rate 40 --bare 0.02";

/// How long an outage may last where it parks. It parks what came until then, and then what comes.
const PARK_AFTER: &str = "700ms";

/// Under which code it does.
const AWAY: &str = "TL3004";

const ASSETS: &str = "--negative 0.08 --doubled 0.02 --positive-then-negative 0.02 \
    --negative-then-positive 0.02 --silent 0.02 --malformed 0.03 --orphan 0.03 --by-body-only 0.02";

/// What goes through once the mapping was mended.
const MENDED: &str = "TL2002";

/// What the bridge consumes, by the words of its log: one queue's name is the beginning of another's.
const CONSUMED: [&str; 4] = [
    "consuming ccb.sp.request ",
    "consuming ccb.sp.request.error",
    "consuming wam.location.ack ",
    "consuming wam.location.ack.error",
];

/// Which values no map has (`src/standin/fault.rs`).
const ENTRIES: [(&str, &str, &str); 4] = [
    ("sp-type", "X-UNMAP", "ODD-SOCKET"),
    ("asset-type", "X-UNMAP", "ODD-ASSET"),
    ("time-zone", "X-ZONE", "XZ"),
    ("source-status", "X", "C"),
];

/// How long nothing may happen at a site that is not at rest.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is to be done at a site.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    pub(super) seed: u32,
    pub(super) orders: Vec<Order>,
    /// What else stands in the environment of the bridge.
    pub(super) planted: Option<&'static str>,
    /// How long nothing may happen at a site that is not at rest, if not as usual.
    pub(super) patience: Option<Duration>,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Done {
    /// The orders that nothing came of: the work was done before.
    pub(super) left: Vec<Order>,
    /// What the checker found.
    pub(super) faults: Vec<Fault>,
    /// Why the site did not come to its end, if it did not.
    pub(super) stuck: Option<String>,
    pub(super) took: Duration,
}

/// Why a site does not come to its end.
type Stuck = String;

/// Carries a job out.
pub(super) fn run(job: &Job) -> Done {
    let begun = Instant::now();
    let mut run = Run::begin(job);
    let (faults, stuck) = match run.carry_out() {
        Ok(evidence) => (checker::check(&evidence).1, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let left = job.orders.iter().filter(|order| !run.was_done(order)).copied().collect();
    let done = Done { left, faults, stuck, took: begun.elapsed() };
    if job.planted.is_none() && (done.stuck.is_some() || !done.faults.is_empty()) {
        run::tell(&format!(
            "--- {}: both histories stay in {}",
            job.shown(),
            run.site.keep().display()
        ));
    }
    done
}

struct Run<'j> {
    job: &'j Job,
    site: Site,
    bridge: Option<Bridge>,
    /// What the bridge of the moment is to die of, and those after it.
    armed: Option<Order>,
    lives: VecDeque<Order>,
    /// What is ordered of the first bridge that meets it, beside that.
    beside: Vec<Order>,
    /// How often the bridge died.
    deaths: u64,
    assets: Standin,
    billing: Standin,
    progress: Progress,
    /// Before asset management, where an outage parks.
    gate: Option<Gate>,
    /// What an outage parked.
    parked: HashSet<String>,
    poison: Poison,
}

impl Job {
    fn has(&self, met: Met) -> bool {
        self.orders.iter().any(|order| order.point.met == met)
    }

    /// As a person would give it.
    fn shown(&self) -> String {
        let orders: Vec<_> = self.orders.iter().map(ToString::to_string).collect();
        format!("seed {}, {}{}", self.seed, self.planted.unwrap_or_default(), orders.join(" "))
    }
}

impl<'j> Run<'j> {
    fn begin(job: &'j Job) -> Self {
        let mut site = Site::at(&Shared::broker().vhost()).with_own_mappings();
        for (name, value) in SETTINGS {
            site.set(name, value);
        }
        // Both systems want their queues to be there.
        site.cli(&["queues", "declare", "--yes", "--reason", "new"]).ended(0);
        let seed = job.seed;
        let assets = Standin::start(&site, &site.url, "assets", &format!("--seed {seed} {ASSETS}"));
        let (parks, is_careful) = (job.has(Met::Parking), job.has(Met::Care));
        let more = if parks { PARKED } else { USUAL };
        let more = if is_careful { CAREFUL } else { more };
        let options = format!("--seed {seed} {BILLING} {more}");
        let billing = Standin::start(&site, &site.url, "billing", &options);
        let progress = Progress::of(&billing.history, &assets.history);
        // For the bridge alone.
        let gate = parks.then(|| {
            let (gate, url) = Gate::before(&site.url);
            site.set("amqp.assets_url", &url);
            site.set("unreachable.park_after", PARK_AFTER);
            site.set("unreachable.release", "auto");
            gate
        });
        let is_here = |order: &&Order| !matches!(order.point.met, Met::Command | Met::Stop);
        let (lives, beside): (Vec<Order>, Vec<Order>) =
            job.orders.iter().filter(is_here).partition(|order| order.is_deadly());
        let lives = lives.into();
        Self {
            job,
            site,
            bridge: None,
            armed: None,
            lives,
            beside,
            deaths: 0,
            assets,
            billing,
            progress,
            gate,
            parked: HashSet::new(),
            poison: Poison::default(),
        }
    }

    fn carry_out(&mut self) -> Result<Evidence, Stuck> {
        self.live();
        self.suffer_outage()?;
        self.suffer_parking()?;
        self.suffer_poison()?;
        self.settle()?;
        let mended = self.operate()?;
        self.settle()?;
        self.stop_often()?;
        self.end(mended)
    }

    /// The command line with these orders in its environment.
    fn ordered(&self, orders: &[Order]) -> Desk {
        let orders: Vec<_> = orders.iter().map(ToString::to_string).collect();
        let seen = self.site.path("seen").display().to_string();
        let desk = self.site.beside().with("TIELINE_POINT", &orders.join(";"));
        let desk = desk.with("TIELINE_POINTS_SEEN", &seen);
        match self.job.planted {
            Some(name) => desk.with("TIELINE_PLANTED", name),
            None => desk,
        }
    }

    fn was_done(&self, order: &Order) -> bool {
        let seen = fs::read_to_string(self.site.path("seen")).unwrap_or_default();
        seen.lines().any(|line| line == order.to_string())
    }

    fn has_seen(&self, point: &str) -> bool {
        let seen = fs::read_to_string(self.site.path("seen")).unwrap_or_default();
        seen.lines().any(|line| line == point)
    }

    /// Starts a bridge that is to die of the next order.
    fn live(&mut self) {
        self.armed = self.lives.pop_front();
        let beside = self.beside.iter().filter(|order| !self.was_done(order)).copied();
        // A death last: where there is a delay at the same visit, it is to be slow and then dead.
        let orders: Vec<_> = beside.chain(self.armed).collect();
        self.bridge = Some(self.ordered(&orders).spawn());
    }

    /// Sees to it that there is a bridge. One that has ended must have been ordered to.
    fn attend(&mut self) -> Result<(), Stuck> {
        if let Some(bridge) = &mut self.bridge
            && bridge.has_ended()
        {
            let (code, log) = self
                .bridge
                .take()
                .map(|bridge| bridge.ends())
                .map(|ended| (ended.code, ended.log))
                .unwrap_or_default();
            let armed = self.armed.take();
            let Some(order) = armed.filter(|order| self.was_done(order)) else {
                let armed = armed.map_or_else(|| "nothing".to_owned(), |order| order.to_string());
                let log = log.join("\n");
                return Err(format!(
                    "the bridge ended by itself, exit code {code:?}, ordered {armed}: {log}"
                ));
            };
            self.deaths += u64::from(order.point.met != Met::Stop);
            self.live();
        }
        Ok(())
    }

    /// Looks after the bridge until there is something.
    fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Stuck> {
        let patience = self.job.patience.unwrap_or(PATIENCE);
        let (mut since, mut last) = (Instant::now(), self.progress.look());
        loop {
            self.attend()?;
            if let Some(found) = look(self) {
                return Ok(found);
            }
            let seen = self.progress.look();
            if seen != last {
                (since, last) = (Instant::now(), seen);
            }
            if since.elapsed() > patience {
                return Err(format!("{what}: nothing for {patience:?}; {seen:?}"));
            }
            pause();
        }
    }

    /// Where it is wanted: asset locations find no queue until the bridge has noticed it.
    fn suffer_outage(&mut self) -> Result<(), Stuck> {
        const PAUSED: &str = "dispatch.paused:location";
        const FINISHED: &str = "dispatch.finished:location";
        if !self.job.has(Met::Outage) {
            return Ok(());
        }
        self.until("a bridge that runs", |run| {
            run.bridge.as_ref().is_some_and(Bridge::is_ready).then_some(())
        })?;
        self.site.client.unbind(queue::LOCATION, "tieline.out", queue::LOCATION);
        // Who ignores an outage does not pause.
        let is_planted = self.job.planted.is_some();
        self.until("an outage", |run| {
            let is_over = run.has_seen(PAUSED) || is_planted && run.has_seen(FINISHED);
            is_over.then_some(())
        })?;
        self.site.client.bind(queue::LOCATION, "tieline.out", queue::LOCATION);
        Ok(())
    }

    /// Where it is wanted: asset management is away until all that billing sends is parked, and then
    /// there until all of that is released.
    fn suffer_parking(&mut self) -> Result<(), Stuck> {
        const EVERY: &str = "open,retrying,resolved,discarded";
        if self.gate.is_none() {
            return Ok(());
        }
        let parked = |site: &Site, status| -> Vec<OpenError> {
            let args = ["errors", "list", "--limit", "10000", "--code", AWAY, "--status", status];
            reading::read(site, &args)
        };
        self.settle()?;
        let all = parked(&self.site, EVERY);
        self.parked = all.into_iter().filter_map(|error| error.request).collect();
        if let Some(gate) = &self.gate {
            gate.open();
        }
        self.until("what was parked to be released", |run| {
            parked(&run.site, "open").is_empty().then_some(())
        })
    }

    /// Where it is wanted: for each order something comes that lapin cannot read.
    fn suffer_poison(&mut self) -> Result<(), Stuck> {
        for order in self.job.orders.iter().filter(|order| order.point.met == Met::Care) {
            let (_, queue) = order.point.name.split_once(':').unwrap_or_default();
            self.poison.send(&self.site, queue);
            self.until(order.point.name, |run| run.was_done(order).then_some(()))?;
        }
        Ok(())
    }

    /// Waits until nothing is under way.
    fn settle(&mut self) -> Result<(), Stuck> {
        let mut why = String::new();
        let settled = self.until("nothing to be under way", |run| {
            let seen = run.progress.look();
            if seen.sent < REQUESTS || seen.answered < seen.owed {
                return None;
            }
            if let Err(is) = is_at_rest(&run.site) {
                why = is;
                return None;
            }
            (run.progress.look() == seen).then_some(())
        });
        settled.map_err(|stuck| format!("{stuck}: {why}"))
    }

    /// An operator discards and restores, mends the mapping and retries. Returns the requests that were
    /// mended.
    fn operate(&mut self) -> Result<HashSet<String>, Stuck> {
        let orders: Vec<_> =
            self.job.orders.iter().filter(|it| it.point.met == Met::Command).copied().collect();
        let mut orders = orders.into_iter();
        self.command(&["errors", "discard", "--all"], orders.next())?;
        self.command(&["errors", "restore", "--all"], orders.next())?;
        for (map, from, to) in ENTRIES {
            self.site.add_entry(map, from, to);
        }
        if let Some(bridge) = &self.bridge {
            bridge.hangup();
        }
        let errors: Vec<OpenError> = reading::errors(&self.site);
        let mended = errors.into_iter().filter(|error| error.code == MENDED);
        let mended = mended.filter_map(|error| error.request).collect();
        self.command(&["errors", "retry", "--code", MENDED], orders.next())?;
        Ok(mended)
    }

    /// Gives a command that is to die of an order, and gives it again.
    fn command(&mut self, words: &[&str], order: Option<Order>) -> Result<(), Stuck> {
        let args: Vec<_> = words.iter().copied().chain(["--yes", "--reason", "mended"]).collect();
        self.attend()?;
        if let Some(order) = order {
            let ended = self.ordered(&[order]).cli(&args);
            if order.is_deadly() && ended.code == 0 {
                return Err(format!("{words:?} went through although {order}"));
            }
        }
        // What was done the first time cannot be done again: it says so, and that is no failure.
        let ended = self.ordered(&[]).cli(&args);
        let is_good = ended.code == 0 || order.is_some() || self.job.planted.is_some();
        if is_good { Ok(()) } else { Err(format!("{words:?}: {ended:?}")) }
    }

    /// A bridge for each order that is to be met while it stops.
    fn stop_often(&mut self) -> Result<(), Stuck> {
        for order in &self.job.orders {
            if order.point.met == Met::Stop {
                self.stop_bridge()?;
                self.lives.push_front(*order);
                self.live();
                self.stop_bridge()?;
                self.live();
            }
        }
        self.settle()
    }

    /// SIGTERM once it consumes, and waits for its end. Returns whether that was a good one.
    fn stop_bridge(&mut self) -> Result<bool, Stuck> {
        self.until("a bridge that consumes", |run| {
            let bridge = run.bridge.as_ref()?;
            let consumes = |words: &&str| bridge.has_logged(0, &[*words]);
            CONSUMED.iter().all(consumes).then_some(())
        })?;
        let ended = self.bridge.take().map(Bridge::stop);
        Ok(ended.is_some_and(|ended| ended.code == Some(0)))
    }

    /// Stops the bridge for good.
    fn stop_well(&mut self) -> Result<(), Stuck> {
        while !self.stop_bridge()? {
            let Some(order) = self.armed.take().filter(|order| self.was_done(order)) else {
                return Err("the bridge did not end well".to_owned());
            };
            self.deaths += u64::from(order.point.met != Met::Stop);
            self.lives.clear();
            self.live();
            self.settle()?;
        }
        Ok(())
    }

    fn end(&mut self, mended: HashSet<String>) -> Result<Evidence, Stuck> {
        self.stop_well()?;
        if !queue::ALL.iter().all(|name| self.site.client.depth(name) == Some(0)) {
            // A slow bridge had been given what it had not come to. Nobody else could see that.
            self.live();
            self.settle()?;
            self.stop_well()?;
        }
        let tallies = [self.billing.stop(), self.assets.stop()];
        for name in queue::ALL {
            let depth = self.site.client.depth(name);
            if depth != Some(0) {
                return Err(format!("{name} holds {depth:?} after the end"));
            }
        }
        let is_failed = |order: &&Order| order.action == Action::Fail && self.was_done(order);
        let failed = self.beside.iter().filter(is_failed).count() as u64;
        let doubts = Doubts { bridge: self.deaths + failed, window: IN_DOUBT, ..Doubts::default() };
        let released = std::mem::take(&mut self.parked);
        let gathered = Evidence::gather(&self.site, tallies, doubts);
        let mut evidence = Evidence { mended, released, ..gathered };
        std::mem::take(&mut self.poison).add_to(&mut evidence);
        Ok(evidence)
    }
}

/// Fails unless everything was done and nothing is wrong.
pub(super) fn assert_right(job: &Job, done: &Done) {
    if let Some(why) = &done.stuck {
        fail(&format!("{}: {why}", job.shown()));
    }
    let faults = &done.faults;
    assert!(
        faults.is_empty(),
        "{}: {} faults\n{}",
        job.shown(),
        faults.len(),
        checker::shown(faults)
    );
}
