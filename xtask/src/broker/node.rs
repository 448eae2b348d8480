//! One private broker: its start, its end, and commands to it.

use std::env;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self as std_process, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::ports::Ports;
use super::watcher::{Afterwards, Watcher};
use super::{Install, Options, environment, process};
use crate::{Error, Result};

/// How long a node may take from its start to "Server startup complete".
const START_WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a node may take to stop cleanly. With the management plugin eight seconds are usual.
const STOP_WAIT_MAX: Duration = Duration::from_secs(40);
/// How long `epmd` may take to listen.
const EPMD_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often other ports, or the same ports at a restart, are tried when one is in use.
const ATTEMPTS_MAX: u32 = 5;
/// How long a restart waits for a port that is in use.
const IN_USE_DELAY: Duration = Duration::from_millis(500);
/// How much of a log an error shows.
const LOG_LINES_MAX: usize = 60;

const STARTED: &str = "Server startup complete";
const IN_USE: &str = "eaddrinuse";

/// A private RabbitMQ. Dropping it kills the broker and removes a temporary directory; the end
/// of this process, however it comes, does the same.
pub struct Node {
    install: Install,
    dir: PathBuf,
    ports: Ports,
    options: Options,
    watcher: Watcher,
    /// The broker's process, while it is meant to run.
    pid: Option<u32>,
    version: String,
}

impl Node {
    /// Starts a bare node in a temporary directory and returns when it serves.
    pub fn start() -> Result<Self> {
        Self::start_with(Options::new())
    }

    /// Starts a node in a temporary directory and returns when it serves.
    pub fn start_with(options: Options) -> Result<Self> {
        Self::start_at(&temporary_dir()?, options, Afterwards::Remove)
    }

    /// Starts a node whose directory stays: a later node in the same directory finds its data.
    pub fn start_in(dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::start_at(dir.as_ref(), options, Afterwards::Keep)
    }

    fn start_at(dir: &Path, mut options: Options, afterwards: Afterwards) -> Result<Self> {
        let install = options.install.clone().map_or_else(Install::find, Ok)?;
        let mut attempts = 1;
        loop {
            let member = options.member.as_ref();
            let dir = environment::make_dir(dir, member.map(|member| member.cookie.as_str()))?;
            let lock = environment::lock_dir(&dir)?;
            let mut ports = Ports::find()?;
            ports.epmd = member.map_or(ports.epmd, |member| member.epmd_port);
            let variables = environment::variables(&install, &dir, &ports, options.node_name());
            let watcher = Watcher::start(&install, &variables, &dir, afterwards, lock)?;
            let mut node = Self {
                install: install.clone(),
                dir,
                ports,
                options,
                watcher,
                pid: None,
                version: String::new(),
            };
            match node.boot() {
                Ok(()) => return Ok(node),
                Err(failure) if failure.is_in_use && attempts < ATTEMPTS_MAX => attempts += 1,
                Err(failure) => return Err(failure.error),
            }
            options = node.options;
        }
    }

    /// The AMQP URL of the virtual host `/`, with the user and password `guest`.
    pub fn amqp_url(&self) -> String {
        format!("{}/%2f", self.base_url())
    }

    /// The AMQP URL without a virtual host.
    pub(super) fn base_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.ports.amqp)
    }

    /// The URL of the management plugin, where the node has it: no path, with user and password.
    pub fn management_url(&self) -> Option<String> {
        let url = || format!("http://guest:guest@127.0.0.1:{}", self.ports.management);
        self.options.has_management().then(url)
    }

    /// The process id of the broker, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.pid.filter(|pid| process::runs(*pid))
    }

    /// The directory with the node's data, configuration and logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The version of RabbitMQ, for example `3.10.8`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name by which nodes of a cluster know it, for example `tieline-1@localhost`.
    pub fn name(&self) -> &str {
        self.options.node_name()
    }

    /// Runs `rabbitmqctl` against this node and returns what it printed.
    ///
    /// A call costs most of a second of processor time: where much is asked, use AMQP or the
    /// management URL.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        let shown = format!("rabbitmqctl {}", args.join(" "));
        // Without its node and epmd the command would start an epmd of its own, which stays.
        if self.pid().is_none() {
            return Err(Error::new(format!("{shown}: the node does not run, expected it to")));
        }
        let mut command = self.install.ctl(&self.dir);
        let output = command
            .args(args)
            .env_clear()
            .envs(environment::variables(&self.install, &self.dir, &self.ports, self.name()))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::new(format!("cannot run `{shown}`: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(Error::new(format!(
            "`{shown}`: {}, expected success\n{text}{complaint}",
            output.status
        )))
    }

    /// Stops the broker cleanly (SIGTERM) and returns when it is gone. A node that does not run
    /// stays so.
    pub fn stop(&mut self) -> Result<()> {
        let pid = self.pid.take();
        self.watcher.stop(pid, STOP_WAIT_MAX)
    }

    /// Kills the broker (SIGKILL), as a power failure would end it, and returns when it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.pid = None;
        self.watcher.kill()
    }

    /// Starts the broker again, on the same ports and with the same data, after stopping it cleanly
    /// if it runs. Returns when it serves.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let mut attempts = 1;
        loop {
            match self.boot() {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_in_use && attempts < ATTEMPTS_MAX => attempts += 1,
                Err(failure) => return Err(failure.error),
            }
            sleep(IN_USE_DELAY);
        }
    }

    /// Replaces this process by a program; the node lives exactly as long as the program, and is
    /// then killed and its temporary directory removed. Returns only if that was not possible.
    ///
    /// This is for a program in the foreground that ends by Ctrl-C in its own time: were this
    /// process to wait for it, Ctrl-C would end this process at once, and with it the node under
    /// the program's hands.
    pub fn exec(mut self, program: &Command) -> Error {
        let Some(orders) = self.watcher.take_orders() else {
            return Error::new("run a program with a node: the node's watcher has ended");
        };
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", include_str!("exec.sh"), "exec"]);
        shell.arg(program.get_program()).args(program.get_args()).stdin(orders);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(dir) = program.get_current_dir() {
            shell.current_dir(dir);
        }
        Error::new(format!("cannot run /bin/sh: {}", shell.exec()))
    }

    /// Starts `epmd` and the broker, and waits until the broker serves. After a failure neither
    /// runs.
    fn boot(&mut self) -> Result<(), BootFailure> {
        let outcome = self.try_boot();
        if outcome.is_err() {
            self.pid = None;
            drop(self.watcher.kill());
        }
        outcome
    }

    fn try_boot(&mut self) -> Result<(), BootFailure> {
        environment::write_config(&self.dir, &self.ports, &self.options)?;
        // The broker must find its epmd, or Erlang starts one that outlives everything.
        if self.options.member.is_none() {
            let epmd = self.watcher.start_epmd()?;
            await_epmd(epmd, self.ports.epmd)?;
        }
        let log = Growing::at_end(self.dir.join("log/rabbit.log"));
        let output = Growing::at_end(self.dir.join("log/output.log"));
        let pid = self.watcher.start_server()?;
        self.pid = Some(pid);
        let start = Instant::now();
        loop {
            // Asked before the log is read: what an ended process logged is then all there.
            let is_running = process::runs(pid);
            let text = log.news();
            if text.contains(STARTED) {
                self.version = version_in(&text);
                return Ok(());
            }
            let found = if !is_running {
                "its process ended".to_owned()
            } else if start.elapsed() > START_WAIT_MAX {
                format!("no \"{STARTED}\" in its log after {START_WAIT_MAX:?}")
            } else {
                sleep(Duration::from_millis(25));
                continue;
            };
            return Err(self.not_started(&found, &text, &output.news()));
        }
    }

    fn not_started(&self, found: &str, log: &str, output: &str) -> BootFailure {
        let error = Error::new(format!(
            "start a broker in {}: found that {found}, expected it to serve\n\
             --- end of its log\n{}\n--- end of its output\n{}",
            self.dir.display(),
            tail(log),
            tail(output),
        ));
        BootFailure { error, is_in_use: log.contains(IN_USE) || output.contains(IN_USE) }
    }
}

/// Why a node did not start, and whether it may with other ports, or later.
pub(super) struct BootFailure {
    pub(super) error: Error,
    pub(super) is_in_use: bool,
}

impl From<Error> for BootFailure {
    fn from(error: Error) -> Self {
        Self { error, is_in_use: false }
    }
}

/// A directory that nothing has been in.
pub(super) fn temporary_dir() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = env::temp_dir().join(format!("tieline-node-{}-{count}", std_process::id()));
    // A process of the same id may have left one behind that was killed together with its watcher.
    // Its broker's data must not come back to life here.
    if dir.exists() {
        fs::remove_dir_all(&dir)
            .map_err(|error| Error::new(format!("remove {}: {error}", dir.display())))?;
    }
    Ok(dir)
}

pub(super) fn await_epmd(pid: u32, port: u16) -> Result<(), BootFailure> {
    let start = Instant::now();
    loop {
        // Asked in this order, because somebody else may answer at the port.
        let is_answering = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        if !process::runs(pid) {
            let error = Error::new(format!("start epmd on 127.0.0.1:{port}: it ended at once"));
            return Err(BootFailure { error, is_in_use: true });
        }
        if is_answering {
            return Ok(());
        }
        if start.elapsed() > EPMD_WAIT_MAX {
            return Err(BootFailure::from(Error::new(format!(
                "start epmd on 127.0.0.1:{port}: no answer within {EPMD_WAIT_MAX:?}"
            ))));
        }
        sleep(Duration::from_millis(5));
    }
}

/// A file that is appended to, from a position on.
struct Growing {
    path: PathBuf,
    start: u64,
}

impl Growing {
    fn at_end(path: PathBuf) -> Self {
        let start = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, start }
    }

    /// What was appended since; nothing while there is no such file.
    fn news(&self) -> String {
        let mut bytes = Vec::new();
        let outcome = fs::File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.start))?;
            file.read_to_end(&mut bytes)
        });
        drop(outcome);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The version in the log's line "Starting RabbitMQ 3.10.8 on Erlang 25.2.3".
fn version_in(log: &str) -> String {
    let rest = log.split("Starting RabbitMQ ").nth(1).unwrap_or_default();
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}
