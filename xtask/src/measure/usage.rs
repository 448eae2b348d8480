//! What a process has used, as the kernel tells it.

use std::fs;
use std::time::Duration;

use crate::{Error, Result};

/// The kernel counts processor time in ticks of 10 ms (`USER_HZ`) on every machine we run on.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used since its start, all its threads together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Processor time, its own and the kernel's for it.
    pub processor: Duration,
    /// The most memory it ever held, in KiB; zero once it has ended.
    pub memory_kib: u64,
    /// What it had the kernel write to disks, in bytes; zero where the kernel does not tell.
    pub written_bytes: u64,
}

impl Usage {
    /// Reads the usage of a process.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path)
            .map_err(|error| Error::new(format!("read {path}: {error}")))?;
        // After the name, in parentheses: user time is the 12th field, system time the 13th.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u32>().ok());
        let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
            return Err(Error::new(format!("{path}: found `{stat}`, expected processor times")));
        };
        Ok(Self {
            processor: TICK * (user + system),
            memory_kib: number_in(&format!("/proc/{pid}/status"), "VmHWM:"),
            written_bytes: number_in(&format!("/proc/{pid}/io"), "write_bytes:"),
        })
    }
}

/// The number behind a word at the beginning of a line; zero where there is none.
fn number_in(path: &str, word: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix(word));
    rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_memory() {
        assert!(Usage::of(std::process::id()).unwrap().memory_kib > 0);
    }

    #[test]
    fn a_process_that_is_not_there_has_used_nothing_that_could_be_told() {
        assert!(Usage::of(u32::MAX).is_err());
    }
}
