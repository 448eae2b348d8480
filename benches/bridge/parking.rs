//! The operator's worst day: as many requests as may be are parked, because value maps lack entries.
//! Then they are looked at, the entries are added, and all are sent again, by the command line as an
//! operator uses it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tieline::standin::plan::Mix;
use xtask::measure::Series;

use crate::Result;
use crate::arguments::Arguments;
use crate::depth::{Filling, watch};
use crate::figures::{mebibytes, series};
use crate::load::Load;
use crate::mappings;
use crate::program::Program;
use crate::report::{Outcome, chart};
use crate::site::{Site, queue, rests};
use crate::wire::Wire;

/// How often it is done at most: a turn takes minutes.
const ROUNDS_MAX: usize = 3;

/// What the stand-in's unmapped requests have, and what they lack.
const ENTRIES: [(&str, &str); 3] = [
    ("sp-type", r#""X-UNMAP" = "RES-METER-SOCKET""#),
    ("time-zone", r#""X-ZONE" = "Etc/UTC""#),
    ("source-status", r#""X" = "ACTIVE""#),
];

/// What one turn showed; times in seconds.
struct Turn {
    parking: Filling,
    groups: f64,
    page: f64,
    check_before: f64,
    check_after: f64,
    retry: f64,
    until_sent: f64,
    memory_mib: f64,
}

/// Measures.
pub(crate) async fn run(site: &Site, arguments: &Arguments) -> Result<Outcome> {
    let load = Load::of(arguments.parked, Mix { unmapped: 1.0, ..Mix::GOOD });
    let wire = Wire::connect(&site.url()).await?;
    let rounds = arguments.pairs.min(ROUNDS_MAX);
    let mut turns = Vec::new();
    for round in 1..=rounds {
        let turn = turn(site, &wire, &load).await?;
        println!(
            "parking {round}/{rounds}: parked in {:.1} s, groups {:.2} s, check {:.1} s, retry \
             {:.1} s, all sent after {:.1} s",
            turn.parking.until_last.as_secs_f64(),
            turn.groups,
            turn.check_after,
            turn.retry,
            turn.until_sent
        );
        turns.push(turn);
    }
    site.clear(&wire).await?;
    wire.close().await?;
    Ok(outcome(&load, &turns))
}

async fn turn(site: &Site, wire: &Wire, load: &Load) -> Result<Turn> {
    site.fill(wire, load).await?;
    let room = site.room()?;
    // Where the bridge and the commands look for mappings, as nothing else is set.
    let folder = room.join("transforms");
    mappings::copy_shipped(&folder)?;
    let mut bridge = site.start_bridge(&room)?;
    // Of each that is parked billing is told.
    let parking = watch(wire, queue::REPLY, load.number(), || bridge.check()).await?;
    rests(bridge.pid()).await?;
    let command = |arguments: &[&str]| timed(site, &room, arguments);
    let groups = command(&["errors", "groups"])?;
    let page = command(&["errors", "list", "--limit", "50"])?;
    let check_before = command(&["errors", "check", "--all"])?;
    mend(&folder)?;
    bridge.signal("HUP")?;
    let check_after = command(&["errors", "check", "--all"])?;
    let (retry, until_sent) = retry(site, wire, load, &room, &mut bridge).await?;
    let memory_mib = mebibytes(bridge.usage()?.memory_kib);
    bridge.stop().await?;
    Ok(Turn { parking, groups, page, check_before, check_after, retry, until_sent, memory_mib })
}

/// Adds what the value maps lack.
fn mend(folder: &Path) -> Result<()> {
    for (map, entry) in ENTRIES {
        let path = folder.join(format!("maps/{map}.toml"));
        let mut file = OpenOptions::new().append(true).open(path)?;
        writeln!(file, "{entry}")?;
    }
    Ok(())
}

/// Sends all again: how long the command took, and how long it was until the last location lay on
/// its queue, in seconds.
async fn retry(
    site: &Site,
    wire: &Wire,
    load: &Load,
    room: &Path,
    bridge: &mut Program,
) -> Result<(f64, f64)> {
    let dir = room.join("retry");
    fs::create_dir(&dir)?;
    let mut command = site.tieline(room);
    command.args(["errors", "retry", "--all", "--yes", "--reason", "entries added"]);
    let begun = Instant::now();
    let mut retry = Program::start(&mut command, &dir)?;
    let mut took = None;
    let sent = watch(wire, queue::LOCATION, load.number(), || {
        if took.is_none() && retry.has_ended()? {
            took = Some(begun.elapsed());
        }
        bridge.check()
    })
    .await?;
    while took.is_none() {
        rests(bridge.pid()).await?;
        took = retry.has_ended()?.then(|| begun.elapsed());
    }
    Ok((took.map_or(0.0, |took| took.as_secs_f64()), sent.until_last.as_secs_f64()))
}

/// Runs a command as an operator does, and tells how long it took in seconds. That some of what it
/// is about would fail is no failure of the command.
fn timed(site: &Site, room: &Path, arguments: &[&str]) -> Result<f64> {
    let begun = Instant::now();
    let status = site.tieline(room).args(arguments).stdout(Stdio::null()).status()?;
    let took = begun.elapsed();
    match status.code() {
        Some(0 | 1 | 3) => Ok(took.as_secs_f64()),
        Some(_) | None => Err(format!("tieline {}: {status}", arguments.join(" ")).into()),
    }
}

fn outcome(load: &Load, turns: &[Turn]) -> Outcome {
    let seconds = |name: &str, value: fn(&Turn) -> f64| series(turns, name, "s", value);
    let groups = seconds("errors groups", |turn| turn.groups);
    let page = seconds("errors list, the first page", |turn| turn.page);
    let before = seconds("errors check --all, all would fail", |turn| turn.check_before);
    let after = seconds("errors check --all, all would pass", |turn| turn.check_after);
    let retry = seconds("errors retry --all, the command", |turn| turn.retry);
    let sent = seconds("errors retry --all, until the last is sent", |turn| turn.until_sent);
    let parked = |it: &Turn| -> Duration { it.parking.until_last };
    let all: [&Series; 6] = [&groups, &page, &before, &after, &retry, &sent];
    let charts = vec![chart("parking", "The operator's commands", &all)];
    let series = vec![
        series(turns, "parked", "msg/s", |turn| turn.parking.rate),
        series(turns, "start until all are parked", "s", |turn| parked(turn).as_secs_f64()),
        groups,
        page,
        before,
        after,
        retry,
        sent,
        series(turns, "memory of the bridge, peak", "MiB", |turn| turn.memory_mib),
    ];
    Outcome {
        scenario: "parking",
        about: format!("{} requests are parked for three missing map entries", load.number()),
        series,
        charts,
    }
}
