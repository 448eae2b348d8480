//! `tieline errors`: the error queue. What failed, why, what a retry will do; and doing it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::errors_export;
use super::exit::{Exit, Failed};
use super::select::{Change, Select};
use super::{output, views};
use crate::bridge::operator::{Operations, Tally};
use crate::bridge::ports::{ErrorQuery, ErrorView};
use crate::domain::{About, ErrorId, ErrorStatus};

#[derive(Subcommand, Debug)]
pub(super) enum Errors {
    /// List error records, newest first.
    List(List),
    /// List groups of error records: the same code, the same rule of the mapping.
    Groups {
        #[command(flatten)]
        select: Select,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show one error record: what failed, why, what to do.
    Show {
        id: ErrorId,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Write the message itself to standard output, byte for byte.
        #[arg(long)]
        payload: bool,
    },
    /// Tell what a retry would do today, and publish nothing.
    Check(Bulk),
    /// Send again, translated with the mapping of today.
    Retry {
        #[command(flatten)]
        bulk: Bulk,
        #[command(flatten)]
        pace: Pace,
    },
    /// Give up. Can be restored.
    Discard(Bulk),
    /// Take back a discard.
    Restore(Bulk),
    /// Write records with their messages to a file, one JSON object a line.
    Export {
        #[command(flatten)]
        select: Select,
        /// All open records.
        #[arg(long)]
        all: bool,
        /// The file; standard output without one.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    select: Select,
    /// Only with this status; open ones without it.
    #[arg(long = "status", value_name = "STATUS", value_delimiter = ',')]
    statuses: Vec<String>,
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Bulk {
    #[command(flatten)]
    select: Select,
    /// All records that the command can be about.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    change: Change,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Pace {
    /// At most so many a second.
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// First send so many, wait for their outcome, and stop if one fails.
    #[arg(long, value_name = "N")]
    canary: Option<usize>,
    /// Stop when more than this share (in percent) of those tried so far fails again.
    #[arg(long, value_name = "PERCENT")]
    max_failures: Option<u32>,
}

/// How long a canary may take to be answered.
const CANARY_PATIENCE: Duration = Duration::from_mins(2);

/// Runs the command.
pub(super) async fn run(
    command: Errors,
    operations: &Operations,
    now: Timestamp,
) -> Result<Exit, Failed> {
    match command {
        Errors::List(list) => self::list(list, operations, now).await,
        Errors::Groups { select, json } => groups(&select, json, operations, now).await,
        Errors::Show { id, json, payload } => show(id, json, payload, operations).await,
        Errors::Check(bulk) => check(bulk, operations, now).await,
        Errors::Retry { bulk, pace } => retry(bulk, pace, operations, now).await,
        Errors::Discard(bulk) => discard(bulk, operations, now).await,
        Errors::Restore(bulk) => restore(bulk, operations, now).await,
        Errors::Export { select, all, output } => {
            errors_export::export(&select, all, output, operations, now).await
        }
    }
}

async fn list(list: List, operations: &Operations, now: Timestamp) -> Result<Exit, Failed> {
    let statuses = list.statuses.iter().map(|text| status(text)).collect::<Result<_, _>>()?;
    let query = ErrorQuery { limit: list.limit, ..list.select.query(statuses, now)? };
    let errors = operations.store.errors(&query).await?;
    if list.json {
        output::json(&errors.iter().map(views::error).collect());
        return Ok(Exit::Done);
    }
    let rows = errors.iter().map(|error| {
        vec![
            error.id.to_string(),
            views::instant(error.last_at),
            error.failure.code.to_string(),
            views::or_dash(error.sync_request.as_ref()),
            views::or_dash(error.service_point.as_ref()),
            error.status.as_str().to_owned(),
            output::short(&error.failure.detail.replace('\n', " "), 90),
        ]
    });
    output::table(
        &["error", "last (UTC)", "code", "sync request", "service point", "status", "why"],
        rows.collect(),
        "no error records",
    );
    Ok(Exit::Done)
}

fn status(text: &str) -> Result<ErrorStatus, Failed> {
    let all =
        [ErrorStatus::Open, ErrorStatus::Retrying, ErrorStatus::Resolved, ErrorStatus::Discarded];
    all.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        Failed::usage(format!(
            "'{text}' is not a status; expected open, retrying, resolved or discarded"
        ))
    })
}

async fn groups(
    select: &Select,
    json: bool,
    operations: &Operations,
    now: Timestamp,
) -> Result<Exit, Failed> {
    let query = select.query(vec![ErrorStatus::Open], now)?;
    let groups = operations.store.error_groups(&query).await?;
    if json {
        output::json(&groups.iter().map(views::group).collect());
        return Ok(Exit::Done);
    }
    let rows = groups.iter().map(|group| {
        vec![
            group.group.to_string(),
            group.count.to_string(),
            views::instant(group.first_at),
            views::instant(group.last_at),
            output::short(&group.sample.replace('\n', " "), 90),
        ]
    });
    output::table(
        &["group", "open", "first (UTC)", "last (UTC)", "the newest says"],
        rows.collect(),
        "no open error records",
    );
    Ok(Exit::Done)
}

async fn show(
    id: ErrorId,
    json: bool,
    payload: bool,
    operations: &Operations,
) -> Result<Exit, Failed> {
    let Some(error) = operations.store.error(id).await? else {
        let help = "`tieline errors list` shows the open ones, `--status resolved` the others";
        return Err(Failed::new(
            Exit::Failed,
            format!("no error record {id} is in the store"),
            help,
        ));
    };
    if payload {
        let message = operations.store.error_message(id).await?;
        output::raw(&message.map(|message| message.payload).unwrap_or_default());
        return Ok(Exit::Done);
    }
    if json {
        let mut value = views::error(&error);
        if let Some(message) = operations.store.error_message(id).await? {
            value["payload"] = json!(String::from_utf8_lossy(&message.payload));
            value["properties"] = json!(message.properties);
        }
        output::json(&value);
        return Ok(Exit::Done);
    }
    let mut pairs = vec![
        ("error", error.id.to_string()),
        ("status", error.status.as_str().to_owned()),
        ("code", format!("{}  {}", error.failure.code, error.failure.code.title())),
        ("about", about(&error)),
        ("sync request", views::or_dash(error.sync_request.as_ref())),
        ("service point", views::or_dash(error.service_point.as_ref())),
        ("why", error.failure.detail.clone()),
        ("group", error.group.to_string()),
        ("failures", error.failures.to_string()),
        ("first", error.first_at.to_string()),
        ("last", error.last_at.to_string()),
    ];
    pairs.extend(error.by.as_ref().map(|by| ("by", format!("{}: {}", by.name, by.reason))));
    let message = operations.store.error_message(id).await?;
    let raw = message.as_ref().and_then(|message| message.properties.raw());
    pairs.extend(raw.map(|raw| ("raw properties", escaped(raw))));
    output::pairs(&pairs);
    views::print_defects(&error.failure);
    let open = error.status == ErrorStatus::Open;
    output::line("");
    output::line(format_args!("what it means   tieline explain {}", error.failure.code));
    if open {
        output::line(format_args!("would it pass   tieline errors check {id}"));
        output::line(format_args!("send it again   tieline errors retry {id} --reason \"…\""));
    }
    Ok(Exit::Done)
}

/// How many bytes of properties that could not be read are shown.
const RAW_BYTES_SHOWN: usize = 512;

/// Bytes as text: what is no ASCII as `\xe9`.
fn escaped(bytes: &[u8]) -> String {
    let shown = bytes.get(..RAW_BYTES_SHOWN).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { "…, all of them with --json" } else { "" };
    format!("{} bytes: {}{more}", bytes.len(), shown.escape_ascii())
}

fn about(error: &ErrorView) -> String {
    match error.about {
        About::Request(id) => format!("request {id}"),
        About::Answer(id) => format!("answer {id}"),
        About::Reply(id) => format!("reply {id}"),
    }
}

async fn check(bulk: Bulk, operations: &Operations, now: Timestamp) -> Result<Exit, Failed> {
    let ids = selected(&bulk, ErrorStatus::Open, operations, now).await?;
    let tally = operations.check(&ids).await?;
    Ok(report(&tally, "would pass", "would fail again", bulk.json))
}

async fn retry(
    bulk: Bulk,
    pace: Pace,
    operations: &Operations,
    now: Timestamp,
) -> Result<Exit, Failed> {
    let ids = selected(&bulk, ErrorStatus::Open, operations, now).await?;
    if bulk.change.dry_run {
        let tally = operations.check(&ids).await?;
        return Ok(report(&tally, "would be sent again", "would fail again", bulk.json));
    }
    agree(&bulk, ids.len(), "send again")?;
    let operator = bulk.change.operator();
    let mut tally = Tally::default();
    let mut rest = ids.as_slice();
    if let Some(size) = pace.canary {
        let (first, others) = rest.split_at(size.min(rest.len()));
        tally = operations.retry(&operator, first).await?;
        let failed = tally.total() - tally.done + canary(first, operations).await?;
        if failed > 0 {
            output::note(format_args!(
                "stopped: {failed} of {} sent first did not go through; {} not touched",
                first.len(),
                others.len()
            ));
            report(&tally, "sent again", "failed again", bulk.json);
            return Ok(Exit::Partly);
        }
        rest = others;
    }
    let chunk = pace.rate.map_or(200, |rate| rate.clamp(1, 200) as usize);
    for some in rest.chunks(chunk) {
        tally.merge(operations.retry(&operator, some).await?);
        let failed = tally.total() - tally.done;
        let limit = pace.max_failures.map(|percent| tally.total() * percent as usize / 100);
        if limit.is_some_and(|limit| failed > limit) {
            output::note(format_args!(
                "stopped: {failed} of {} failed again; {} not touched",
                tally.total(),
                ids.len() - tally.total()
            ));
            report(&tally, "sent again", "failed again", bulk.json);
            return Ok(Exit::Partly);
        }
        if let Some(rate) = pace.rate {
            let pause =
                Duration::from_secs(1) * u32::try_from(some.len()).unwrap_or(1) / rate.max(1);
            tokio::time::sleep(pause).await;
        }
    }
    Ok(report(&tally, "sent again", "failed again", bulk.json))
}

/// Waits until those sent first have an outcome, and counts those that did not go through.
async fn canary(ids: &[ErrorId], operations: &Operations) -> Result<usize, Failed> {
    let deadline = tokio::time::Instant::now() + CANARY_PATIENCE;
    loop {
        let mut waiting = 0;
        let mut failed = 0;
        for &id in ids {
            match operations.store.error(id).await?.map(|error| error.status) {
                Some(ErrorStatus::Resolved) => {}
                Some(ErrorStatus::Retrying) => waiting += 1,
                Some(ErrorStatus::Open | ErrorStatus::Discarded) | None => failed += 1,
            }
        }
        if waiting == 0 {
            return Ok(failed);
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(failed + waiting);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn discard(bulk: Bulk, operations: &Operations, now: Timestamp) -> Result<Exit, Failed> {
    let ids = selected(&bulk, ErrorStatus::Open, operations, now).await?;
    if bulk.change.dry_run {
        return Ok(would("be discarded", &ids, bulk.json));
    }
    agree(&bulk, ids.len(), "discard")?;
    let tally = operations.discard(&bulk.change.operator(), &ids).await?;
    Ok(report(&tally, "discarded", "failed", bulk.json))
}

async fn restore(bulk: Bulk, operations: &Operations, now: Timestamp) -> Result<Exit, Failed> {
    let ids = selected(&bulk, ErrorStatus::Discarded, operations, now).await?;
    if bulk.change.dry_run {
        return Ok(would("be restored", &ids, bulk.json));
    }
    agree(&bulk, ids.len(), "restore")?;
    let tally = operations.restore(&bulk.change.operator(), &ids).await?;
    Ok(report(&tally, "restored", "failed", bulk.json))
}

/// What a command that asks nobody would touch.
fn would(verb: &str, ids: &[ErrorId], json: bool) -> Exit {
    if json {
        output::json(&json!({ "total": ids.len(), "dry_run": true }));
    } else {
        let what = output::plural(ids.len(), "record", "records");
        output::line(format_args!("{what} would {verb}"));
    }
    Exit::Done
}

/// The records that the selection names now. What fails later is not touched.
async fn selected(
    bulk: &Bulk,
    status: ErrorStatus,
    operations: &Operations,
    now: Timestamp,
) -> Result<Vec<ErrorId>, Failed> {
    bulk.select.named(bulk.all)?;
    // Ids that were named are tried whatever their status, so that the answer names it.
    if !bulk.select.ids.is_empty() {
        return Ok(bulk.select.ids.clone());
    }
    Ok(operations.select(&bulk.select.query(vec![status], now)?).await?)
}

/// Shows what will be touched, and asks. Records named one by one need no question.
fn agree(bulk: &Bulk, count: usize, verb: &str) -> Result<(), Failed> {
    if bulk.change.yes || !bulk.select.ids.is_empty() || count == 0 {
        return Ok(());
    }
    let what = output::plural(count, "record", "records");
    match output::confirm(&format!("{verb} {what}?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failed::usage("nothing was touched")),
        None => Err(Failed::usage(format!(
            "this would {verb} {what}; nobody is there to ask, so say --yes (or look with --dry-run)"
        ))),
    }
}

/// Tells what came of it; the reasons of those that did not go through, grouped.
fn report(tally: &Tally, done: &str, failing: &str, json: bool) -> Exit {
    let mut reasons: BTreeMap<String, (usize, ErrorId)> = BTreeMap::new();
    for (id, failure) in &tally.still_failing {
        let reason = format!("{} {}", failure.code, failure.detail);
        reasons.entry(reason).or_insert((0, *id)).0 += 1;
    }
    for (id, why) in &tally.refused {
        reasons.entry(why.clone()).or_insert((0, *id)).0 += 1;
    }
    if json {
        output::json(&json!({
            "total": tally.total(),
            "done": tally.done,
            "still_failing": tally.still_failing.iter().map(|(id, failure)| json!({
                "error": id.to_string(), "failure": views::failure(failure),
            })).collect::<Vec<_>>(),
            "refused": tally.refused.iter().map(|(id, why)| json!({
                "error": id.to_string(), "why": why,
            })).collect::<Vec<_>>(),
        }));
    } else {
        output::line(format_args!(
            "{} of {} {done}; {} {failing}; {} refused",
            tally.done,
            output::plural(tally.total(), "record", "records"),
            tally.still_failing.len(),
            tally.refused.len()
        ));
        for (reason, (count, example)) in reasons.iter().take(20) {
            output::line(format_args!(
                "  {count} × {} (for example {example})",
                output::plain(reason)
            ));
        }
    }
    match (tally.done, tally.total()) {
        (done, total) if done == total => Exit::Done,
        (0, _) => Exit::Failed,
        _ => Exit::Partly,
    }
}
