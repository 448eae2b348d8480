//! What the figures were taken on.

use std::fmt;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::site::Site;

/// Versions and hardware, by name.
pub(crate) struct Machine(Vec<(&'static str, String)>);

impl Machine {
    /// This machine, and the broker of this site.
    pub(crate) fn of(site: &Site) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory = number_in("/proc/meminfo", "MemTotal:") / (1024 * 1024);
        Self(vec![
            ("tieline", env!("CARGO_PKG_VERSION").to_owned()),
            ("RabbitMQ", site.node().version().to_owned()),
            ("Erlang", erlang(site)),
            ("compiler", said(Command::new("rustc").arg("--version"))),
            ("kernel", kernel()),
            ("cores", cores.to_string()),
            ("processor", processor()),
            ("memory", format!("{memory} GiB")),
        ])
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        self.0.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        out.write_str(&facts.join("; "))
    }
}

/// The version in the broker's log: "Starting RabbitMQ 3.10.8 on Erlang 25.2.3 [jit]".
fn erlang(site: &Site) -> String {
    let log = fs::read_to_string(site.node().dir().join("log/rabbit.log")).unwrap_or_default();
    let rest = log.split(" on Erlang ").nth(1).unwrap_or_default();
    rest.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The version of the kernel, without what its builder added.
fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().split('-').next().unwrap_or("unknown").to_owned()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

fn number_in(path: &str, word: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix(word));
    rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output).trim().to_owned();
    if text.is_empty() { "unknown".to_owned() } else { text }
}
