//! The schedule `cluster`: the broker is three nodes, of which one dies, the one that leads a queue
//! dies, or one is left alone because two do not answer.
//!
//! The bridge and both systems know one address, that of a relay which leads to a node that takes
//! connections: the bridge has one URL a side, and so needs one before a cluster. A queue has a member
//! on each node. With one node dead everything must go on; with two silent nothing can, the node that
//! is left pauses (`pause_minority`), and everything must go on by itself once they speak again.

use std::fs;
use std::time::Duration;

use xtask::broker::{Cluster, Node, Options};

use super::plan::{Plan, Schedule};
use super::random::Random;
use super::run::{Run, run, tell};
use crate::support::{hold, queue, signal, until_within};

const NODES: u32 = 3;

/// What three nodes and everything else need. A machine that has less is let off.
const MEMORY_LEAST_KIB: u64 = 4 * 1024 * 1024;

/// How soon nodes notice that another does not answer.
const NET_TICK: &str = "net_ticktime = 8";

/// What a node says when it has noticed that it is left alone.
const PAUSED: &str = "Cluster minority/secondary status detected";

/// How soon a node that was left alone must have noticed, and all must be together again after it.
const NOTICED_MAX: Duration = Duration::from_mins(1);
const TOGETHER_MAX: Duration = Duration::from_mins(2);

/// How long a node keeps the name of a new queue in memory only: killed then, its member comes back
/// empty. Nothing tells when that is over.
const SETTLING: Duration = Duration::from_secs(3);

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// SIGKILL of a node, and up again once things went on without it.
    Kill(u32),
    /// The same for the node that leads a queue.
    KillLeader(&'static str),
    /// SIGSTOP of the two others, until this node has paused.
    LeaveAlone(u32),
}

/// One of each kind.
pub(super) fn deal(random: &mut Random) -> [Deed; 3] {
    [
        Deed::Kill(random.between(0, NODES - 1)),
        Deed::KillLeader(random.pick(&[queue::REQUEST, queue::LOCATION, queue::ANSWER])),
        Deed::LeaveAlone(random.between(0, NODES - 1)),
    ]
}

impl Deed {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill of a node",
            Self::KillLeader(_) => "kill of a queue's leader",
            Self::LeaveAlone(_) => "node left alone",
        }
    }
}

/// The broker of a run: one node, or three that are one cluster.
pub(super) enum Brokers {
    One(Box<Node>),
    Three(Cluster),
}

impl Brokers {
    /// Starts what a schedule needs.
    pub(super) fn start(schedule: Schedule) -> Self {
        if schedule != Schedule::Cluster {
            return Self::One(Box::new(Node::start().unwrap()));
        }
        let options = Options::new()
            .config_line("cluster_partition_handling = pause_minority")
            .config_line(NET_TICK);
        Self::Three(Cluster::start(NODES as usize, &options).unwrap())
    }

    fn nodes(&self) -> &[Node] {
        match self {
            Self::One(node) => std::slice::from_ref(&**node),
            Self::Three(cluster) => cluster.nodes(),
        }
    }

    fn node(&mut self, number: usize) -> &mut Node {
        match self {
            Self::One(node) => node,
            Self::Three(cluster) => &mut cluster.nodes_mut()[number],
        }
    }

    pub(super) fn first(&mut self) -> &mut Node {
        self.node(0)
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.nodes().iter().map(Node::amqp_url).collect()
    }

    pub(super) fn version(&self) -> &str {
        self.nodes()[0].version()
    }

    /// Asks a node that runs.
    pub(super) fn ctl(&self, args: &[&str]) -> xtask::Result<String> {
        let nodes = self.nodes();
        nodes.iter().find(|node| node.pid().is_some()).unwrap_or(&nodes[0]).ctl(args)
    }

    /// Returns when new queues survive the kill of a node.
    pub(super) fn settle(&mut self) {
        match self {
            Self::One(node) => node.restart().unwrap(),
            Self::Three(_) => {
                let listed = self.ctl(&["list_queues", "--quiet", "name", "members"]).unwrap();
                for line in listed.lines().filter(|line| line.starts_with(queue::REQUEST)) {
                    let members = line.matches("tieline-").count();
                    assert_eq!(members, NODES as usize, "members of a queue: {line}");
                }
                hold(SETTLING);
            }
        }
    }

    /// The number of the node that leads a queue.
    fn leader_of(&self, name: &str) -> Option<usize> {
        let items = ["list_queues", "--quiet", "--no-table-headers", "name", "leader"];
        let listed = self.ctl(&items).unwrap();
        let line = listed.lines().find(|line| line.split('\t').next() == Some(name))?;
        let leader = line.split('\t').nth(1)?;
        self.nodes().iter().position(|node| node.name() == leader)
    }
}

impl Run {
    pub(super) fn disturb_cluster(&mut self, deed: Deed) {
        match deed {
            Deed::Kill(number) => self.kill_node(number as usize),
            Deed::KillLeader(name) => {
                let what = format!("a leader of {name}");
                let leader = until_within(TOGETHER_MAX, &what, || self.brokers.leader_of(name));
                self.kill_node(leader);
            }
            Deed::LeaveAlone(number) => self.leave_alone(number as usize),
        }
    }

    fn kill_node(&mut self, number: usize) {
        self.doubt_everybody();
        self.brokers.node(number).kill().unwrap();
        self.until_going_on("with a node dead");
        self.brokers.node(number).restart().unwrap();
        self.come_together();
    }

    /// The others are there and say nothing. Nothing can go on, and nothing may be lost by it. Their
    /// connections may end when they are silent, and those of the one when it pauses.
    fn leave_alone(&mut self, number: usize) {
        self.doubt_everybody();
        self.doubt_everybody();
        let log = self.brokers.nodes()[number].dir().join("log/rabbit.log");
        let read = || String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
        let known = read().matches(PAUSED).count();
        let others: Vec<_> = self.brokers.nodes().iter().enumerate().collect();
        let others = others.into_iter().filter(|(other, _)| *other != number);
        let others: Vec<_> = others.map(|(_, node)| node.pid().unwrap()).collect();
        let signal_all = |name| {
            for pid in &others {
                signal(*pid, name);
            }
        };
        signal_all("STOP");
        until_within(NOTICED_MAX, "the node that is left alone to pause", || {
            (read().matches(PAUSED).count() > known).then_some(())
        });
        signal_all("CONT");
        self.come_together();
        self.until_going_on("after a node was left alone");
    }

    /// Waits until every node serves.
    fn come_together(&mut self) {
        let count = NODES.to_string();
        until_within(TOGETHER_MAX, "every node to serve", || {
            let nodes = self.brokers.nodes();
            let serves = |node: &Node| {
                node.ctl(&["await_online_nodes", &count, "--timeout", "20"]).is_ok()
                    && node.ctl(&["list_vhosts"]).is_ok()
            };
            nodes.iter().all(serves).then_some(())
        });
        self.site.reconnect();
    }

    /// Waits until something more went the whole way, or everything that was to be sent was.
    fn until_going_on(&mut self, when: &str) {
        let before = self.progress.look();
        let all = u64::from(self.plan.requests);
        until_within(self.plan.patience(), &format!("messages to go on {when}"), || {
            let seen = self.progress.look();
            let is_on = seen.sent > before.sent && seen.replies > before.replies;
            (is_on || seen.sent >= all).then_some(())
        });
    }
}

/// The memory that programs may still have, where the system tells.
fn memory_kib() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn whichever_node_of_a_cluster_dies_every_request_ends_and_all_counts_agree() {
    if let Some(memory) = memory_kib().filter(|memory| *memory < MEMORY_LEAST_KIB) {
        tell(&format!(
            "left out: schedule cluster: {memory} KiB of memory, expected {MEMORY_LEAST_KIB}"
        ));
        return;
    }
    drop(run(Plan::of_environment(Schedule::Cluster, 1_000, 3)));
}
