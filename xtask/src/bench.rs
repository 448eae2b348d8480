//! `cargo xtask bench`: how fast the demo's load goes through, and what it costs.

use std::fs;
use std::process::{Child, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use xtask::broker::Node;
use xtask::{Error, Result};

use crate::demo::demo;
use crate::run::{build_bridge, shown};
use crate::setup::{Broker, setup};

const REQUESTS: &str = "20000";
/// The kernel counts processor time in ticks of 10 ms (`USER_HZ`) on every machine we run on.
const TICK: Duration = Duration::from_millis(10);
/// How often the bridge is looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// Runs `cargo xtask bench [--requests N] [ARGS]`; arguments go to the bridge's demo.
pub(crate) fn command(mut args: Vec<String>) -> Result<ExitCode> {
    let requests = match args.iter().position(|arg| arg == "--requests") {
        Some(at) if at + 1 < args.len() => args.drain(at..at + 2).nth(1).unwrap_or_default(),
        Some(_) => return Err(Error::new("--requests: found nothing after it, expected a number")),
        None => REQUESTS.to_owned(),
    };
    let count: f64 = requests.parse().map_err(|_| {
        Error::new(format!("--requests: found `{requests}`, expected a number of requests"))
    })?;
    args.extend(["--exit".to_owned(), "--requests".to_owned(), requests]);
    let Broker::Private = setup(None)? else {
        return Err(Error::new("bench: found a shared broker, expected to start a private one"));
    };
    build_bridge()?;
    let node = Node::start()?;
    let broker = node.pid().unwrap_or_default();
    let mut demo = demo(&node.amqp_url(), node.management_url(), node.dir(), &args);
    println!("$ {}", shown(&demo));
    let broker_before = Usage::of(broker)?;
    let start = Instant::now();
    let mut bridge = demo
        .spawn()
        .map_err(|error| Error::new(format!("cannot run `{}`: {error}", shown(&demo))))?;
    let used = watch(&bridge)?;
    let wall = start.elapsed();
    let broker_used = Usage::of(broker)?.processor.saturating_sub(broker_before.processor);
    succeeded(&mut bridge)?;
    println!(
        "bench: {count} requests in {:.2} s, start and end of the program included",
        wall.as_secs_f64()
    );
    println!("bench: {:.0} requests a second", count / wall.as_secs_f64());
    println!(
        "bench: bridge {:.2} s of processor time, at most {} MB of memory",
        used.processor.as_secs_f64(),
        used.memory_kb / 1024
    );
    println!(
        "bench: broker {:.2} s of processor time (RabbitMQ {})",
        broker_used.as_secs_f64(),
        node.version()
    );
    Ok(ExitCode::SUCCESS)
}

/// What a process has used since its start.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    processor: Duration,
    /// The most memory it ever held; zero once it has ended.
    memory_kb: u64,
    has_ended: bool,
}

impl Usage {
    fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path)
            .map_err(|error| Error::new(format!("read {path}: {error}")))?;
        // After the name, in parentheses: state is the 1st field, user time the 12th, system the 13th.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u32>().ok());
        let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
            return Err(Error::new(format!("{path}: found `{stat}`, expected processor times")));
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let memory_kb = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Ok(Self {
            processor: TICK * (user + system),
            memory_kb: memory_kb.unwrap_or_default(),
            has_ended: fields.first() == Some(&"Z"),
        })
    }
}

/// Looks at a child until it has ended. Its times can be read for as long as nobody has waited
/// for it, so this must come before `wait`.
fn watch(child: &Child) -> Result<Usage> {
    let mut memory_kb = 0;
    loop {
        let usage = Usage::of(child.id())?;
        memory_kb = memory_kb.max(usage.memory_kb);
        if usage.has_ended {
            return Ok(Usage { memory_kb, ..usage });
        }
        sleep(SAMPLE_INTERVAL);
    }
}

fn succeeded(bridge: &mut Child) -> Result<()> {
    let status =
        bridge.wait().map_err(|error| Error::new(format!("wait for the demo: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::new(format!("the demo: {status}, expected success")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_memory_and_runs() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.memory_kb > 0 && !usage.has_ended);
    }
}
