//! The bridge as a child process. It never outlives its test.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{Settings, assert_says};
use super::until;
use super::wait::{PATIENCE, fail};

/// The log line that tells that the bridge is up.
const READY: &str = "tieline runs";

/// How many lines of the log a failing test shows.
const LINES_SHOWN: usize = 60;

/// A running bridge.
pub(crate) struct Bridge {
    child: Child,
    log: Log,
}

/// How a bridge ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) log: Vec<String>,
}

impl Bridge {
    /// Starts a bridge and returns when it is up.
    #[track_caller]
    pub(super) fn start(dir: &Path, settings: &Settings) -> Self {
        let bridge = Self::spawn(dir, settings);
        bridge.logs(READY);
        bridge
    }

    /// Starts a bridge that will refuse, and returns when it has ended.
    #[track_caller]
    pub(super) fn start_in_vain(dir: &Path, settings: &Settings) -> Ended {
        let bridge = Self::spawn(dir, settings);
        match bridge.log.line_with(READY) {
            Ok(_) => fail("expected the bridge to refuse, and it runs"),
            Err(_) => bridge.end(),
        }
    }

    /// Starts a bridge and does not wait.
    pub(super) fn spawn(dir: &Path, settings: &Settings) -> Self {
        let mut command = settings.command(dir);
        command.arg("run").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Whether it is up, or was.
    pub(crate) fn is_ready(&self) -> bool {
        self.has_logged(0, &[READY])
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for a line of the log that contains the text, and returns it.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) -> String {
        match self.log.line_with(text) {
            Ok(line) => line,
            Err(lines) => {
                fail(&format!("expected '{text}' in the bridge's log, found:\n{}", tail(&lines)))
            }
        }
    }

    /// How many lines its log has, as the place from which to look on.
    pub(crate) fn log_end(&self) -> usize {
        self.log.lock().lines.len()
    }

    /// The place of the last line of the log that contains all of these words.
    pub(crate) fn last_logged(&self, words: &[&str]) -> Option<usize> {
        let has_all = |line: &String| words.iter().all(|word| line.contains(word));
        self.log.lock().lines.iter().rposition(has_all)
    }

    /// Whether a line from a place of the log on contains all of these words.
    pub(crate) fn has_logged(&self, from: usize, words: &[&str]) -> bool {
        self.last_logged(words).is_some_and(|last| last >= from)
    }

    /// The most memory that it ever held, in KiB; nothing where the system does not tell.
    pub(crate) fn memory_peak_kib(&self) -> Option<u64> {
        self.status_kib("VmHWM:")
    }

    /// The memory that it holds now, in KiB; nothing where the system does not tell.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, name: &str) -> Option<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse().ok()
    }

    /// How much processor time it has used; nothing where the system does not tell.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).ok()?;
        // The name in brackets may hold spaces; behind it user and system time are the 12th and
        // 13th field, in hundredths of a second (proc(5); USER_HZ is 100 wherever Linux runs this).
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
    }

    /// SIGTERM, and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.end()
    }

    /// SIGKILL, and waits for its end.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// SIGSTOP: it stands still, and its connections with it.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it goes on where it was.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub(crate) fn ends(self) -> Ended {
        self.end()
    }

    /// SIGHUP: it reads its mappings again.
    pub(crate) fn hangup(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    #[track_caller]
    fn end(mut self) -> Ended {
        let status = until("the bridge to end", || self.child.try_wait().unwrap());
        Ended { code: status.code(), log: self.log.until_closed() }
    }
}

impl Drop for Bridge {
    #[expect(clippy::print_stderr, reason = "a failing test shows the bridge's log")]
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("--- the bridge's log\n{}", tail(&self.log.lock().lines));
        }
    }
}

impl Ended {
    /// Fails unless the log has a line with all of these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) {
        assert_says(&self.log.join("\n"), words);
    }
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

/// Sends a signal to a process of this test.
#[track_caller]
pub(crate) fn signal(pid: u32, name: &str) {
    let pid = pid.to_string();
    let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
    assert!(status.success(), "kill -s {name} {pid}");
}

/// What the bridge writes to standard error, line by line.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    closed: bool,
}

impl Log {
    fn follow(from: ChildStderr) -> Self {
        let log = Self::default();
        let writer = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                writer.lock().lines.push(line.unwrap_or_else(|error| error.to_string()));
                writer.0.1.notify_all();
            }
            writer.lock().closed = true;
            writer.0.1.notify_all();
        });
        log
    }

    /// Waits for a line; all lines if it never comes.
    fn line_with(&self, text: &str) -> Result<String, Vec<String>> {
        let start = Instant::now();
        let mut lines = self.lock();
        let mut seen = 0;
        loop {
            if let Some(line) = lines.lines[seen..].iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            seen = lines.lines.len();
            let left = PATIENCE.checked_sub(start.elapsed());
            let Some(left) = left.filter(|_| !lines.closed) else {
                return Err(lines.lines.clone());
            };
            let waited = self.0.1.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn until_closed(&self) -> Vec<String> {
        let lines = self.lock();
        let open = |lines: &mut Lines| !lines.closed;
        let lines = self.0.1.wait_timeout_while(lines, PATIENCE, open);
        lines.unwrap_or_else(PoisonError::into_inner).0.lines.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
