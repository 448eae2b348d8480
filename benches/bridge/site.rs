//! Where everything is measured: a broker of its own, the queues as the topology declares them, a
//! directory for stores, and the binary under measurement.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tieline::amqp::{Endpoint, Role, Topology};
use tokio::time::{Instant, sleep};
use xtask::broker::{Node, Options};
use xtask::measure::Usage;

use crate::Result;
use crate::arguments::Arguments;
use crate::load::Load;
use crate::program::Program;
use crate::wire::Wire;

/// How long a process is watched to tell whether it rests.
const REST_LOOK: Duration = Duration::from_millis(300);

/// How much of a core a process that rests may use meanwhile.
const REST_SHARE_MAX: f64 = 0.1;

/// How long a process may take to come to rest. One that does not is measured as it is.
const REST_WAIT_MAX: Duration = Duration::from_secs(15);

/// How often the queues are emptied before it is given up.
const CLEAR_TRIES_MAX: usize = 5;

/// tieline's own queue.
const FENCE: &str = "tieline.fence";

/// The names of the queues, as the built-in topology has them.
pub(crate) mod queue {
    pub(crate) const REQUEST: &str = "ccb.sp.request";
    pub(crate) const LOCATION: &str = "wam.location.request";
    pub(crate) const ANSWER: &str = "wam.location.ack";
    pub(crate) const REPLY: &str = "ccb.sp.ack";
    pub(crate) const REQUEST_ERROR: &str = "ccb.sp.request.error";
    pub(crate) const ANSWER_ERROR: &str = "wam.location.ack.error";
    /// Every one.
    pub(crate) const ALL: [&str; 6] =
        [REQUEST, LOCATION, ANSWER, REPLY, REQUEST_ERROR, ANSWER_ERROR];
}

/// A broker with queues, and a directory.
pub(crate) struct Site {
    node: Node,
    dir: TempDir,
    binary: PathBuf,
    settings: Vec<(String, String)>,
}

impl Site {
    /// Starts a broker, makes the queues and waits until the broker rests.
    pub(crate) async fn open(arguments: &Arguments) -> Result<Self> {
        let named = arguments.binary.display();
        let binary =
            arguments.binary.canonicalize().map_err(|error| format!("{named}: {error}"))?;
        // The collector of statistics would be a part of the broker's cost.
        let options = Options::new()
            .management()
            .shovel()
            .config_line("management_agent.disable_metrics_collector = true");
        let node = Node::start_with(options)?;
        let endpoint = Endpoint::new("bench", &SecretString::from(node.amqp_url()))?;
        Topology::built_in().declare(&endpoint, &Role::ALL).await?;
        let site = Self {
            node,
            dir: TempDir::with_prefix("tieline-bench-")?,
            binary,
            settings: arguments.settings.clone(),
        };
        site.broker_rests().await?;
        Ok(site)
    }

    /// The AMQP URL of the broker.
    pub(crate) fn url(&self) -> String {
        self.node.amqp_url()
    }

    /// The broker itself.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// An empty directory for a run; there is one at a time.
    pub(crate) fn room(&self) -> Result<PathBuf> {
        self.room_named("room")
    }

    /// An empty directory that stays until another of the same name is asked for.
    pub(crate) fn room_named(&self, name: &str) -> Result<PathBuf> {
        let room = self.dir.path().join(name);
        if room.exists() {
            fs::remove_dir_all(&room)?;
        }
        fs::create_dir(&room)?;
        Ok(room)
    }

    /// The binary with the settings of a bridge in this room, and no others.
    pub(crate) fn tieline(&self, room: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(room).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIELINE_") {
                command.env_remove(name);
            }
        }
        command
            .env("TIELINE__AMQP__URL", self.url())
            .env("TIELINE__STORE__URL", format!("sqlite:{}", store(room).display()))
            .env("TIELINE__HTTP__LISTEN", "");
        for (name, value) in &self.settings {
            let name = name.replace('.', "__").to_ascii_uppercase();
            command.env(format!("TIELINE__{name}"), value);
        }
        command
    }

    /// Starts the bridge in this room.
    pub(crate) fn start_bridge(&self, room: &Path) -> Result<Program> {
        Program::start(self.tieline(room).arg("run"), room)
    }

    /// How many bytes went over the connections of the bridge that runs, to the broker and from it.
    pub(crate) fn wire_bytes(&self) -> Result<u64> {
        let items = ["recv_oct", "send_oct", "client_properties"];
        let listed = ["list_connections", "--quiet", "--no-table-headers"];
        let listed: Vec<_> = listed.into_iter().chain(items).collect();
        let listed = self.node.ctl(&listed)?;
        let of_bridge = |line: &&str| {
            line.contains("tieline consumer of") || line.contains("tieline publisher of")
        };
        let numbers = listed.lines().filter(of_bridge).flat_map(|line| line.split('\t').take(2));
        let numbers: std::result::Result<Vec<u64>, _> =
            numbers.map(|number| number.trim().parse()).collect();
        Ok(numbers.map_err(|error| format!("list of connections: {error}"))?.iter().sum())
    }

    /// Empties every queue and waits until the broker rests.
    ///
    /// Once is not enough: what a program that has ended had not settled comes back a little later.
    pub(crate) async fn clear(&self, wire: &Wire) -> Result<()> {
        for _ in 0..CLEAR_TRIES_MAX {
            for name in queue::ALL {
                wire.purge(name).await?;
            }
            // Each run has a store of its own, or an older copy of one.
            wire.purge(FENCE).await?;
            self.broker_rests().await?;
            let mut left = 0;
            for name in queue::ALL {
                left += wire.depth(name).await?;
            }
            if left == 0 {
                return Ok(());
            }
        }
        Err("the queues do not stay empty".into())
    }

    /// Empties every queue, puts the requests on the request queue, and waits until the broker
    /// rests.
    pub(crate) async fn fill(&self, wire: &Wire, load: &Load) -> Result<()> {
        self.clear(wire).await?;
        load.fill(wire).await?;
        self.broker_rests().await
    }

    /// The processor time that the broker has used.
    pub(crate) fn broker_processor(&self) -> Result<Duration> {
        Ok(Usage::of(self.broker_pid()?)?.processor)
    }

    /// Waits until the broker has nothing to do any more.
    pub(crate) async fn broker_rests(&self) -> Result<()> {
        rests(self.broker_pid()?).await
    }

    fn broker_pid(&self) -> Result<u32> {
        self.node.pid().ok_or_else(|| "the broker has ended".into())
    }
}

/// The store of the bridge in a room.
pub(crate) fn store(room: &Path) -> PathBuf {
    room.join("tieline.db")
}

/// Waits until a process has nothing to do any more, with a limit.
pub(crate) async fn rests(pid: u32) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < REST_WAIT_MAX {
        let before = Usage::of(pid)?.processor;
        sleep(REST_LOOK).await;
        let used = Usage::of(pid)?.processor.saturating_sub(before);
        if used <= REST_LOOK.mul_f64(REST_SHARE_MAX) {
            break;
        }
    }
    Ok(())
}
