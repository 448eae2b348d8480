//! What the figures were taken on.

use std::fs;
use std::process::Command;

use crate::site::Site;

/// Versions and hardware, by name.
pub(crate) fn facts(site: &Site) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = number_in("/proc/meminfo", "MemTotal:") / (1024 * 1024);
    vec![
        ("tieline", env!("CARGO_PKG_VERSION").to_owned()),
        ("RabbitMQ", site.node().version().to_owned()),
        ("Erlang", erlang(site)),
        ("compiler", said(Command::new("rustc").arg("--version"))),
        (
            "kernel",
            fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        ),
        ("cores", cores.to_string()),
        ("processor", processor()),
        ("memory", format!("{memory} GiB")),
    ]
}

/// The version in the broker's log: "Starting RabbitMQ 3.10.8 on Erlang 25.2.3 [jit]".
fn erlang(site: &Site) -> String {
    let log = fs::read_to_string(site.node().dir().join("log/rabbit.log")).unwrap_or_default();
    let rest = log.split(" on Erlang ").nth(1).unwrap_or_default();
    rest.split_whitespace().next().unwrap_or("unknown").to_owned()
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
