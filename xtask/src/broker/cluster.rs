//! Private nodes that are one broker together.

use std::thread;

use super::node::{await_epmd, temporary_dir};
use super::options::Member;
use super::ports::Ports;
use super::watcher::{Afterwards, Watcher};
use super::{Install, Node, Options, environment};
use crate::{Error, Result};

/// How many times another port is tried when somebody has taken the one for `epmd`.
const ATTEMPTS_MAX: u32 = 5;

/// Nodes that have joined one cluster, each in a temporary directory of its own. They share an
/// `epmd`, which none of them takes along when it dies. Dropping it ends them all.
pub struct Cluster {
    nodes: Vec<Node>,
    /// Ends after the nodes.
    _epmd: Epmd,
}

impl Cluster {
    /// Starts so many nodes, named `tieline-1@localhost` and so on, and returns when the others
    /// have joined the first. A queue that is declared then may have a member on each.
    pub fn start(size: usize, options: &Options) -> Result<Self> {
        let install = options.install.clone().map_or_else(Install::find, Ok)?;
        let epmd = Epmd::start(&install)?;
        let cookie = environment::new_cookie()?;
        let option_sets = (1..=size).map(|number| {
            let member = Member {
                name: format!("tieline-{number}@localhost"),
                cookie: cookie.clone(),
                epmd_port: epmd.port,
            };
            options.clone().install(install.clone()).member(member)
        });
        let nodes = thread::scope(|scope| {
            let starts: Vec<_> =
                option_sets.map(|options| scope.spawn(move || Node::start_with(options))).collect();
            let ended = |_| Err(Error::new("start a cluster: the start of a node broke off"));
            starts
                .into_iter()
                .map(|start| start.join().unwrap_or_else(ended))
                .collect::<Result<Vec<Node>>>()
        })?;
        for (number, node) in nodes.iter().enumerate().skip(1) {
            node.ctl(&["stop_app"])?;
            node.ctl(&["join_cluster", nodes[0].name()])?;
            node.ctl(&["start_app"])?;
            nodes[0].ctl(&["await_online_nodes", &(number + 1).to_string()])?;
        }
        Ok(Self { nodes, _epmd: epmd })
    }

    /// The nodes, in the order of their names.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes, to be stopped, killed and started again.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }
}

/// Erlang's port mapper by itself.
struct Epmd {
    port: u16,
    _watcher: Watcher,
}

impl Epmd {
    fn start(install: &Install) -> Result<Self> {
        let mut attempts = 1;
        loop {
            let dir = environment::make_dir(&temporary_dir()?, None)?;
            let lock = environment::lock_dir(&dir)?;
            let ports = Ports::find()?;
            let variables = environment::variables(install, &dir, &ports, "epmd@localhost");
            let mut watcher = Watcher::start(install, &variables, &dir, Afterwards::Remove, lock)?;
            match await_epmd(watcher.start_epmd()?, ports.epmd) {
                Ok(()) => return Ok(Self { port: ports.epmd, _watcher: watcher }),
                Err(failure) if failure.is_in_use && attempts < ATTEMPTS_MAX => attempts += 1,
                Err(failure) => return Err(failure.error),
            }
        }
    }
}
