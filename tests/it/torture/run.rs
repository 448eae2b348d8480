//! A run: a broker of its own, the real binary as bridge and as both systems, each a process, and
//! the faults of a schedule on the way.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use xtask::broker::Node;

use super::checker;
use super::cluster::Brokers;
use super::disk::Disk;
use super::endurance::Endured;
use super::evidence::{Doubts, Evidence};
use super::plan::{Deed, Plan, Schedule, Step};
use super::progress::Progress;
use super::report::{self, Course};
use super::standin::{self, Standin};
use crate::support::{Bridge, Gate, Site, has_rabbitmq, queue, until_within};

/// Small, so that few messages may come twice: the bound that is checked is as tight.
const WINDOW: u64 = 50;

/// How many windows of a lane are out at a time.
const WINDOWS_AT_A_TIME: u64 = 2;

/// How many messages a stand-in has at once before it settles them: its consumer's prefetch.
const PREFETCH: u64 = 500;

/// The most memory that a bridge may hold under load.
pub(super) const MEMORY_MAX_KIB: u64 = 100 * 1024;

/// The same where it connects again and again. Each connection has two buffers of 4 MiB (lapin), of
/// which the first ones are never touched; later ones lie in memory that the allocator has used
/// before, and count in full.
const MEMORY_RECONNECTED_MAX_KIB: u64 = 200 * 1024;

/// What a fault counts as that met nothing.
const LEFT_OUT: &str = "left out, for everything was sent";

const ANSWER_TIMEOUT: &str = "3s";

/// Short, so that a connection that is silent or frozen is given up within seconds.
const HEARTBEAT: &str = "2s";

/// Carries a plan out and fails unless every rule was held. Nothing on a machine without RabbitMQ.
pub(super) fn run(plan: Plan) -> Option<Course> {
    if !has_rabbitmq() {
        return None;
    }
    let mut run = Run::begin(plan);
    let (course, evidence) = run.carry_out();
    let (figures, faults) = checker::check(&evidence);
    if !faults.is_empty() {
        let kept = run.site.keep();
        tell(&format!("--- both histories and the bridge's last log stay in {}", kept.display()));
    }
    report::tell(&course, &figures, &faults);
    let memory = course.memory_peak_kib;
    let is_new_each_time = plan.schedule == Schedule::Kills;
    let memory_max = if is_new_each_time { MEMORY_MAX_KIB } else { MEMORY_RECONNECTED_MAX_KIB };
    assert!(faults.is_empty(), "{plan:?}: {} faults\n{}", faults.len(), checker::shown(&faults));
    assert!(memory <= memory_max, "{memory} KiB, expected at most {memory_max} KiB");
    Some(course)
}

#[expect(clippy::print_stderr, reason = "the figures of a run are what it is for")]
pub(super) fn tell(text: &str) {
    eprintln!("{text}");
}

/// A run while it goes on.
pub(super) struct Run {
    pub(super) plan: Plan,
    bridge: Option<Bridge>,
    billing: Standin,
    pub(super) assets: Standin,
    pub(super) progress: Progress,
    pub(super) gates: Gates,
    pub(super) disk: Option<Disk>,
    pub(super) site: Site,
    pub(super) brokers: Brokers,
    pub(super) doubts: Doubts,
    /// Message ids of asset locations that a fault destroyed.
    pub(super) destroyed: Vec<String>,
    /// Queues were declared since the broker started.
    pub(super) has_new_queues: bool,
    /// How long each start of the bridge took, and how long it took to go on after a full disk.
    restarts: Vec<Duration>,
    pub(super) resumes: Vec<Duration>,
    pub(super) endured: Vec<Endured>,
    faults: BTreeMap<&'static str, u32>,
    begun: Instant,
    memory_peak_kib: u64,
}

/// The network of each.
pub(super) struct Gates {
    pub(super) bridge: Gate,
    pub(super) billing: Gate,
    pub(super) assets: Gate,
    /// The rig's own.
    _rig: Gate,
}

impl Run {
    fn begin(plan: Plan) -> Self {
        let mut brokers = Brokers::start(plan.schedule);
        let urls = brokers.urls();
        let pass = |is_gated| {
            let (gate, gated) = Gate::before_any(&urls);
            gate.open();
            (gate, if is_gated { gated } else { urls[0].clone() })
        };
        // A gate costs time, so that only those have one that need it.
        let are_gated =
            matches!(plan.schedule, Schedule::Network | Schedule::Broker | Schedule::Cluster);
        let is_away = matches!(plan.schedule, Schedule::Away | Schedule::Backlog);
        let [(bridge, bridge_url), (billing, billing_url), (assets, assets_url)] =
            [are_gated, are_gated, are_gated || is_away].map(pass);
        let (rig, rig_url) = pass(are_gated);
        let gates = Gates { bridge, billing, assets, _rig: rig };
        // The rig itself looks past the network that it disturbs, but not past a dead node.
        let own_url = if urls.len() > 1 { &rig_url } else { &urls[0] };
        let mut site = settle_queues(Site::at(own_url), &mut brokers).with("amqp.url", &bridge_url);
        if plan.schedule == Schedule::Clock {
            let file = site.path("clock").display().to_string();
            site.set("TIELINE_CLOCK", &file);
        }
        if plan.schedule == Schedule::Freeze {
            // What a frozen bridge was given must fit the network's buffers: a broker that cannot
            // get rid of it takes half a minute to give it up.
            site.set("amqp.prefetch", "50");
        }
        let disk = (plan.schedule == Schedule::Disk).then(|| {
            let disk = Disk::mount(&site.path("disk"), plan.requests).unwrap();
            let store = format!("sqlite:{}", site.path("disk/tieline.db").display());
            (disk, store)
        });
        let disk = disk.map(|(disk, store)| {
            site.set("store.url", &store);
            disk
        });
        let bridge = Some(site.start());
        let assets = Standin::start(&site, &assets_url, "assets", &standin::assets(&plan));
        let begun = Instant::now();
        let billing = Standin::start(&site, &billing_url, "billing", &standin::billing(&plan));
        let progress = Progress::of(&billing.history, &assets.history);
        Self {
            plan,
            bridge,
            billing,
            assets,
            progress,
            gates,
            disk,
            site,
            brokers,
            doubts: Doubts {
                window: WINDOW * WINDOWS_AT_A_TIME,
                prefetch: PREFETCH,
                ..Doubts::default()
            },
            destroyed: Vec::new(),
            has_new_queues: false,
            restarts: Vec::new(),
            resumes: Vec::new(),
            endured: Vec::new(),
            faults: BTreeMap::new(),
            begun,
            memory_peak_kib: 0,
        }
    }

    fn carry_out(&mut self) -> (Course, Evidence) {
        let mut last_fault = self.begun;
        for Step { at, deed } in self.plan.steps() {
            self.await_facts(at);
            if self.is_too_late() {
                // Counted, so that nobody takes it for a fault that was survived.
                *self.faults.entry(LEFT_OUT).or_default() += 1;
                continue;
            }
            let (begun, seen) = (self.begun.elapsed(), self.progress.look());
            let counted_as = self.inflict(deed);
            last_fault = Instant::now();
            let took = self.begun.elapsed().saturating_sub(begun);
            *self.faults.entry(counted_as).or_default() += 1;
            self.note_memory();
            let memory = self.memory_peak_kib;
            tell(&format!("after {begun:.1?} at {seen:?}: {deed:?}, {took:.1?}, {memory} KiB"));
        }
        let all_sent = self.until_all_sent();
        self.pass_every_clock();
        self.settle();
        self.note_memory();
        let (took, drained) = (self.begun.elapsed(), last_fault.max(all_sent).elapsed());
        self.finish(took, drained)
    }

    fn await_facts(&mut self, point: u64) {
        let what = format!("{point} asset locations and replies");
        until_within(self.plan.patience(), &what, || {
            let seen = self.progress.look();
            (seen.locations + seen.replies >= point).then_some(())
        });
    }

    /// Whether a fault might wait in vain for messages: billing has sent all. A kill waits for none.
    pub(super) fn is_too_late(&mut self) -> bool {
        let is_all_sent = self.progress.look().sent >= u64::from(self.plan.requests);
        is_all_sent && self.plan.schedule != Schedule::Kills
    }

    fn until_all_sent(&mut self) -> Instant {
        let number = u64::from(self.plan.requests);
        until_within(self.plan.patience(), "billing to have sent everything", || {
            (self.progress.look().sent >= number).then(Instant::now)
        })
    }

    /// Returns what it counts as.
    fn inflict(&mut self, deed: Deed) -> &'static str {
        match deed {
            Deed::Kill => self.kill_bridge(),
            Deed::Network(deed) => self.disturb_network(deed),
            Deed::Broker(deed) => self.disturb_broker(deed),
            Deed::Disk(disk) => {
                return if self.fill_disk(disk) { deed.kind() } else { LEFT_OUT };
            }
            Deed::Endurance(endurance) => {
                return if self.endure(endurance) { deed.kind() } else { LEFT_OUT };
            }
            Deed::Freeze(deed) => self.freeze(deed),
            Deed::Cluster(deed) => self.disturb_cluster(deed),
            Deed::Clock(deed) => self.set_clock(deed),
        }
        deed.kind()
    }

    /// The broker, or the first of its nodes.
    pub(super) fn node(&mut self) -> &mut Node {
        self.brokers.first()
    }

    pub(super) fn ctl(&self, args: &[&str]) -> String {
        self.brokers.ctl(args).unwrap()
    }

    pub(super) fn bridge(&self) -> &Bridge {
        self.bridge.as_ref().unwrap()
    }

    /// SIGKILL, and a new one at once.
    pub(super) fn restart_bridge(&mut self) {
        drop(self.bridge.take().map(Bridge::kill));
        let start = Instant::now();
        self.bridge = Some(self.site.start());
        self.restarts.push(start.elapsed());
    }

    pub(super) fn note_memory(&mut self) {
        let peak = self.bridge().memory_peak_kib().unwrap_or_default();
        self.memory_peak_kib = self.memory_peak_kib.max(peak);
    }

    /// Stops everything and collects what is known.
    fn finish(&mut self, took: Duration, drained: Duration) -> (Course, Evidence) {
        let tallies = [self.billing.stop(), self.assets.stop()];
        let ended = self.bridge.take().unwrap().stop();
        fs::write(self.site.path("bridge.log"), ended.log.join("\n")).unwrap();
        assert_eq!(ended.code, Some(0), "the exit code of the bridge");
        for name in queue::ALL {
            assert_eq!(self.site.client.depth(name), Some(0), "{name} after the end");
        }
        let destroyed = std::mem::take(&mut self.destroyed).into_iter().collect();
        let evidence = Evidence { destroyed, ..Evidence::gather(&self.site, tallies, self.doubts) };
        let course = Course {
            plan: self.plan,
            took,
            drained,
            faults: std::mem::take(&mut self.faults),
            restarts: std::mem::take(&mut self.restarts),
            resumes: std::mem::take(&mut self.resumes),
            endured: std::mem::take(&mut self.endured),
            memory_peak_kib: self.memory_peak_kib,
            broker: self.brokers.version().to_owned(),
        };
        (course, evidence)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&format!("--- the run when it failed: {:?}", self.progress.look()));
            let queues =
                ["list_queues", "name", "messages", "messages_ready", "consumers", "state"];
            for listed in [&queues[..], &["list_consumers"]] {
                tell(&self.brokers.ctl(listed).unwrap_or_else(|error| error.to_string()));
            }
        }
    }
}

/// A site with queues that survive a kill of the broker: it has settled down once since they were
/// declared.
fn settle_queues(site: Site, brokers: &mut Brokers) -> Site {
    let mut site = site
        .with("answer.timeout", ANSWER_TIMEOUT)
        .with("amqp.window", &WINDOW.to_string())
        .with("amqp.heartbeat", HEARTBEAT)
        // What is away comes back here, and must then go on as if nothing had been.
        .with("unreachable.park_after", "never")
        .with("retry.tries_max", "1000")
        .with("telemetry.log", "warn,tieline::runtime=info,tieline::bridge=info");
    site.cli(&["queues", "declare", "--yes", "--reason", "new"]).ended(0);
    brokers.settle();
    site.reconnect();
    site
}
