//! Looking at processes and signalling them without `unsafe`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says whether a process runs. One that has ended and waits for its parent does not.
pub(super) fn runs(pid: u32) -> bool {
    let state = if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything; the state follows it.
        stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
    } else {
        let ps = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
        ps.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    state.is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

/// Sends SIGKILL. A process that has ended meanwhile is as good as killed.
pub(super) fn kill(pid: u32) {
    let outcome = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    drop(outcome);
}
