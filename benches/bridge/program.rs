//! A program under measurement: a child process, with its log in a file. It never outlives us.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use xtask::measure::Usage;

use crate::Result;

/// How long a program may take to end once it was asked to.
const END_WAIT_MAX: Duration = Duration::from_secs(30);

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How much of its log is shown when it fails.
const LINES_SHOWN: usize = 30;

/// A running program.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program whose log goes to a file in a directory.
    pub(crate) fn start(command: &mut Command, dir: &Path) -> Result<Self> {
        let log = dir.join("program.log");
        let file = File::create(&log)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn()?;
        Ok(Self { child, log })
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage::of(self.child.id())?)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the program ended: {status}\n{}", self.log_tail()).into()),
        }
    }

    /// Whether it has ended; fails if it has failed.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                Err(format!("the program failed: {status}\n{}", self.log_tail()).into())
            }
        }
    }

    /// Sends a signal, for example `HUP`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill -s {name}: {status}").into()) }
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.signal("TERM")?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("the end: {status}\n{}", self.log_tail()).into())
                };
            }
            if begun.elapsed() > END_WAIT_MAX {
                let tail = self.log_tail();
                return Err(format!("it still runs after {END_WAIT_MAX:?}\n{tail}").into());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
