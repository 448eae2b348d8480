//! A run: a broker of its own, the real binary as bridge and as both systems, each a process.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use serde::de::DeserializeOwned;
use xtask::broker::Node;

use super::checker;
use super::evidence::{Evidence, Row, Tally, history};
use super::plan::Plan;
use super::progress::{Progress, Seen};
use crate::support::{Bridge, Site, fail, has_rabbitmq, queue, until, until_within};

/// Small, so that few messages may come twice: the bound that is checked is as tight.
const WINDOW: u64 = 100;

/// The most records that a page of a list has.
const PAGE: usize = 10_000;

/// The most memory that a bridge may hold under load.
const MEMORY_MAX_KIB: u64 = 100 * 1024;

/// Faults of billing: much of everything.
const BILLING: &str = "--malformed 0.01 --unmapped 0.01 --missing 0.01 --too-long 0.01 \
    --duplicate 0.04 --corrected 0.04 --newer 0.08 --items 0.1 --encodings 0.03 --bare 0.02 \
    --until-quiet 1h";

/// Faults of asset management: much of everything, and answers that are later than `answer.timeout`.
const ASSETS: &str = "--negative 0.04 --doubled 0.02 --positive-then-negative 0.01 \
    --negative-then-positive 0.01 --silent 0.005 --malformed 0.005 --orphan 0.01 \
    --by-body-only 0.02 --late 0.01 --late-by 5s";

const ANSWER_TIMEOUT: &str = "3s";

#[test]
fn however_often_it_is_killed_every_request_ends_and_all_counts_agree() {
    if !has_rabbitmq() {
        return;
    }
    let plan = Plan::of_environment();
    let node = Node::start().unwrap();
    let evidence = Run::begin(plan, &node).carry_out();
    let (figures, faults) = checker::check(&evidence);
    tell(&figures.to_string());
    assert!(faults.is_empty(), "{plan:?}: {} faults\n{}", faults.len(), checker::shown(&faults));
}

#[expect(clippy::print_stderr, reason = "the figures of a run are what it is for")]
pub(super) fn tell(text: &str) {
    eprintln!("{text}");
}

/// A run while it goes on.
struct Run<'a> {
    plan: Plan,
    node: &'a Node,
    site: Site,
    progress: Progress,
    bridge: Bridge,
    billing: Standin,
    assets: Standin,
    begun: Instant,
    memory_peak_kib: u64,
}

impl<'a> Run<'a> {
    fn begin(plan: Plan, node: &'a Node) -> Self {
        let site = Site::at(&node.amqp_url())
            .with("answer.timeout", ANSWER_TIMEOUT)
            .with("amqp.window", &WINDOW.to_string())
            .with("telemetry.log", "warn,tieline::runtime=info");
        let bridge = site.start();
        let (seed, number) = (plan.seed, plan.requests);
        let assets = Standin::start(&site, "assets", &format!("--seed {seed} {ASSETS}"));
        let begun = Instant::now();
        let billing =
            Standin::start(&site, "billing", &format!("--seed {seed} --number {number} {BILLING}"));
        let progress = Progress::of(&billing.history, &assets.history);
        Self { plan, node, site, progress, bridge, billing, assets, begun, memory_peak_kib: 0 }
    }

    fn carry_out(mut self) -> Evidence {
        for point in self.plan.kill_points() {
            self.await_facts(point);
            self = self.kill();
        }
        self.settle();
        self.finish()
    }

    fn await_facts(&mut self, point: u64) {
        let what = format!("{point} asset locations and replies");
        until_within(self.plan.patience(), &what, || {
            let seen = self.progress.look();
            (seen.locations + seen.replies >= point).then_some(())
        });
    }

    /// SIGKILL, and a new one at once.
    fn kill(mut self) -> Self {
        self.note_memory();
        let seen = self.progress.look();
        let at = self.begun.elapsed();
        self.bridge.kill();
        let start = Instant::now();
        self.bridge = self.site.start();
        tell(&format!("killed after {at:.1?} at {seen:?}; up again in {:.0?}", start.elapsed()));
        self
    }

    fn note_memory(&mut self) {
        let peak = self.bridge.memory_peak_kib().unwrap_or_default();
        self.memory_peak_kib = self.memory_peak_kib.max(peak);
    }

    /// Waits until nothing is under way anywhere.
    fn settle(&mut self) {
        let (start, patience) = (Instant::now(), self.plan.patience());
        while let Err(why) = self.is_settled() {
            if start.elapsed() > patience {
                fail(&format!("expected nothing to be under way after {patience:?}: {why}"));
            }
        }
        self.note_memory();
    }

    /// Whether nothing is under way anywhere, or what is. It takes both histories for the
    /// beginning and the end of the look: nothing happened in between.
    fn is_settled(&mut self) -> Result<(), String> {
        let seen = self.progress.look();
        if seen.sent < u64::from(self.plan.requests) || seen.answered < seen.owed {
            until_within(self.plan.patience(), "the systems to go on", || {
                let now = self.progress.look();
                (now != seen).then_some(())
            });
            return Err(format!("{seen:?}"));
        }
        for name in queue::ALL {
            match self.site.client.depth(name) {
                Some(0) => {}
                depth => return Err(format!("{name} holds {depth:?}")),
            }
        }
        let status = self.site.cli(&["store", "status", "--json"]).ended(0).json();
        let open = ["waiting", "pending", "published"].map(|state| &status["requests"][state]);
        let outbox = ["location", "reply", "note"].map(|lane| &status["outbox"][lane]);
        if open.into_iter().chain(outbox).any(|count| count.as_u64().unwrap_or(0) > 0) {
            return Err(status.to_string());
        }
        self.unsettled_deliveries()?;
        let now = self.progress.look();
        if now == seen { Ok(()) } else { Err(format!("{seen:?}, then {now:?}")) }
    }

    /// The depth of a queue leaves out what a consumer has and did not settle.
    fn unsettled_deliveries(&self) -> Result<(), String> {
        let items = ["name", "prefetch_count", "messages_unacknowledged"];
        let listed = ["list_channels", "--quiet", "--no-table-headers"];
        let listed: Vec<_> = listed.into_iter().chain(items).collect();
        let listed = self.node.ctl(&listed).unwrap();
        let is_unsettled = |line: &&str| !line.is_empty() && !line.ends_with("\t0");
        let unsettled: Vec<_> = listed.lines().filter(is_unsettled).collect();
        if unsettled.is_empty() { Ok(()) } else { Err(format!("unsettled: {unsettled:?}")) }
    }

    /// Stops everything and collects what is known.
    fn finish(self) -> Evidence {
        let Seen { sent, .. } = { self.progress }.look();
        let took = self.begun.elapsed();
        let tallies = [self.billing.stop(), self.assets.stop()];
        assert_eq!(self.bridge.stop().code, Some(0));
        for name in queue::ALL {
            assert_eq!(self.site.client.depth(name), Some(0), "{name} after the end");
        }
        tell(&format!(
            "{:?}, {sent} sent, settled after {took:.1?}; the bridge had at most {} KiB",
            self.plan, self.memory_peak_kib
        ));
        assert!(self.memory_peak_kib <= MEMORY_MAX_KIB, "expected at most {MEMORY_MAX_KIB} KiB");
        Evidence {
            billing: history(&self.site.path("billing.jsonl")),
            assets: history(&self.site.path("assets.jsonl")),
            tallies,
            requests: requests(&self.site),
            errors: one_page(&self.site, &["errors", "list"]),
            status: read(&self.site, &["store", "status"]),
            groups: read(&self.site, &["errors", "groups"]),
            kills: u64::from(self.plan.kills),
            window: WINDOW,
        }
    }
}

/// What a command prints as JSON.
fn read<T: DeserializeOwned>(site: &Site, args: &[&str]) -> T {
    let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&site.cli(&args).ended(0).out).unwrap()
}

fn one_page<T: DeserializeOwned>(site: &Site, args: &[&str]) -> Vec<T> {
    let page = PAGE.to_string();
    let args: Vec<_> = args.iter().copied().chain(["--limit", &page]).collect();
    let records: Vec<T> = read(site, &args);
    assert!(records.len() < PAGE, "{args:?}: more than a page");
    records
}

/// All requests, oldest first: page after page, each from the time at which the last one ended.
fn requests(site: &Site) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    let mut known = std::collections::HashSet::new();
    loop {
        let page = PAGE.to_string();
        let mut args = vec!["requests", "list", "--limit", &page];
        let until = all.last().map(|last| {
            // A page ends before this time, and others may have come at the same.
            let at: jiff::Timestamp = last.received_at.parse().unwrap();
            at.saturating_add(jiff::SignedDuration::from_millis(1)).unwrap().to_string()
        });
        args.extend(until.as_deref().map(|until| ["--until", until]).into_iter().flatten());
        let listed: Vec<Row> = read(site, &args);
        let is_last = listed.len() < PAGE;
        all.extend(listed.into_iter().filter(|request| known.insert(request.id.clone())));
        if is_last {
            all.reverse();
            return all;
        }
    }
}

/// One of both systems. It never outlives its test.
struct Standin {
    child: Child,
    history: PathBuf,
}

impl Standin {
    fn start(site: &Site, role: &str, options: &str) -> Self {
        let history = site.path(&format!("{role}.jsonl"));
        let path = history.display().to_string();
        let mut args = vec!["simulate", role, "--json", "--history", &path];
        args.extend(options.split_whitespace());
        Self { child: site.spawn(&args), history }
    }

    /// SIGTERM, and what it has tallied.
    fn stop(mut self) -> Tally {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap();
        assert!(status.success(), "kill -s TERM {pid}");
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
