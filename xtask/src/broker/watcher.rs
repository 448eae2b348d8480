//! The shell between a node and us, which ends the node when we end.
//!
//! A test process may be killed, may abort, or may exit without running the destructor of the
//! `static` that holds its node. So the node's parent is a small shell (`watcher.sh`) that reads
//! from a pipe whose only writer is this process. The kernel closes the pipe with the process, and
//! the shell then kills the node. The shell has a process group of its own: Ctrl-C at the terminal
//! reaches us and not it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Install;
use super::process;
use crate::{Error, Result};

const SCRIPT: &str = include_str!("watcher.sh");
/// How long the shell may take to start a process: it only forks.
const FORK_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the shell may take to end after its input has ended.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(15);

/// What becomes of a node's directory after the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    Keep,
    Remove,
}

/// The running shell.
pub(super) struct Watcher {
    child: Child,
    /// Dropped to end the shell.
    orders: Option<ChildStdin>,
    answers: Mutex<Receiver<String>>,
}

impl Watcher {
    /// Starts the shell. `lock` is a locked file in the directory: the shell holds it as its
    /// standard error, so that the lock lasts until the node has ended and not only until we have.
    pub(super) fn start(
        install: &Install,
        environment: &[(&str, String)],
        dir: &Path,
        afterwards: Afterwards,
        lock: File,
    ) -> Result<Self> {
        let epmd_port = environment.iter().find(|(name, _)| *name == "ERL_EPMD_PORT");
        let epmd_port = epmd_port.map(|(_, port)| port.as_str()).unwrap_or_default();
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "watcher"])
            .args([install.server(), install.epmd()])
            .arg(epmd_port)
            .arg(dir)
            .arg(if afterwards == Afterwards::Remove { "remove" } else { "keep" })
            .args(install.entering(dir))
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(lock)
            .spawn()
            .map_err(|error| Error::new(format!("cannot run /bin/sh: {error}")))?;
        let orders = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in output.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, orders, answers: Mutex::new(answers) })
    }

    /// Starts `epmd` and returns its process id.
    pub(super) fn start_epmd(&mut self) -> Result<u32> {
        self.start_process("epmd")
    }

    /// Starts the server and returns its process id.
    pub(super) fn start_server(&mut self) -> Result<u32> {
        self.start_process("server")
    }

    /// Ends `epmd` and the server, the server by SIGTERM, and returns when both are gone. A
    /// server that does not stop within the time is killed.
    pub(super) fn stop(&mut self, server: Option<u32>, wait_max: Duration) -> Result<()> {
        self.order("stop")?;
        if self.answer(wait_max).is_ok() {
            return Ok(());
        }
        // The shell still waits for the server, so this process id is still the server's.
        server.into_iter().for_each(process::kill);
        self.answer(FORK_WAIT_MAX)?;
        Err(Error::new(format!(
            "stop the broker: it still ran {wait_max:?} after SIGTERM and was killed"
        )))
    }

    /// Kills `epmd` and the server by SIGKILL, and returns when both are gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.order("kill")?;
        self.answer(FORK_WAIT_MAX).map(drop)
    }

    fn start_process(&mut self, order: &str) -> Result<u32> {
        self.order(order)?;
        let answer = self.answer(FORK_WAIT_MAX)?;
        answer.parse().map_err(|_| {
            Error::new(format!("start {order}: found `{answer}`, expected a process id"))
        })
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let gone = || Error::new(format!("order `{order}`: the node's watcher has ended"));
        writeln!(self.orders.as_mut().ok_or_else(gone)?, "{order}").map_err(|_| gone())
    }

    fn answer(&self, wait_max: Duration) -> Result<String> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.recv_timeout(wait_max).map_err(|error| {
            Error::new(format!("no answer of the node's watcher within {wait_max:?}: {error}"))
        })
    }

    /// The writing end of the pipe: whoever holds it keeps the node alive.
    pub(super) fn take_orders(&mut self) -> Option<ChildStdin> {
        self.orders.take()
    }
}

/// Ends the shell, and with it the node, and waits until it has cleaned up.
impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.orders.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < LEAVE_WAIT_MAX {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
