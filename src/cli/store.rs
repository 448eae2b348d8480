//! `tieline store`: the message store.

use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;

use super::exit::{Exit, Failed};
use super::select::Change;
use super::{output, views};
use crate::bridge::fence::{self, FenceQueue as _};
use crate::bridge::{Store as _, Transforms};
use crate::config::Settings;
use crate::runtime::{SystemClock, assemble, sides};
use crate::store::{self, Role};

#[derive(Subcommand, Debug)]
pub(super) enum Store {
    /// Show where the store is, how large it is and what is in it.
    Status {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Bring the store to this version's schema. The bridge does so by itself at its start.
    Migrate {
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
        /// Why; for symmetry with the other changing commands.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let this store count although the fence on the broker is ahead of it, or of another store.
    ///
    /// For when the newer store is lost. Says what is unknown to this store; billing must send that
    /// again. Stop every bridge on these queues first.
    AcceptOlder {
        #[command(flatten)]
        change: Change,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) async fn run(command: &Store, settings: &Settings) -> Result<Exit, Failed> {
    let place = store::Settings::from_url(&settings.store.url)?;
    match command {
        Store::Status { json } => status(settings, *json).await,
        Store::Migrate { dry_run: true, .. } => {
            let (found, known) = store::schemas(&place)?;
            let path = place.path.display();
            output::line(match found {
                0 => format!("{path}: would be made with schema {known}"),
                _ if found == known => format!("{path}: has schema {found}; nothing to do"),
                _ => format!("{path}: schema {found} would become {known}"),
            });
            Ok(Exit::Done)
        }
        Store::Migrate { .. } => {
            let migrated = store::migrate(&place)?;
            let path = place.path.display();
            output::line(format_args!("{path}: schema {} -> {}", migrated.from, migrated.to));
            Ok(Exit::Done)
        }
        Store::AcceptOlder { change, json } => accept(settings, change, *json).await,
    }
}

/// Raises the store's epoch above that of the fence. Writes nothing on the broker: the bridge takes
/// the fence when it starts, and a command that is cut short can be given again.
async fn accept(settings: &Settings, change: &Change, json: bool) -> Result<Exit, Failed> {
    let transforms = Arc::new(Transforms::new(assemble::catalog(settings)?));
    let clock = Arc::new(SystemClock);
    let store = assemble::open_store(settings, clock, transforms, Role::Operator)?;
    let broker = |error| Failed::new(Exit::Broker, error, views::BROKER_HELP);
    let queue = sides::fence_queue(settings)?;
    let fence = queue.read(true).await.map_err(broker)?;
    let mark = store.mark().await?;
    let Some(refusal) = fence::compare(&store, &queue, &mark, fence.as_ref()).await? else {
        output::note("nothing to accept: the store has everything that the fence tells of");
        return Ok(Exit::Done);
    };
    output::note(&refusal);
    output::note(format_args!(
        "Unknown to this store is what happened from {}: what was sent then may be sent again, under \
         the same message ids; answers to what it does not know are parked (TL4003).",
        refusal.window()
    ));
    if change.dry_run {
        return Ok(Exit::Done);
    }
    if !change.yes {
        match output::confirm("Let this store count?") {
            Some(true) => {}
            Some(false) => {
                output::note("nothing was changed");
                return Ok(Exit::Failed);
            }
            None => {
                return Err(Failed::usage(
                    "this would let the store count; nobody is there to ask, so say --yes (or look \
                     with --dry-run)",
                ));
            }
        }
    }
    let accepted = store.accept(&change.operator(), &refusal.fence).await?;
    if json {
        output::json(&json!({
            "store": accepted.store.to_string(),
            "epoch": accepted.epoch,
            "line": mark.line,
            "place": mark.place,
            "fence": {
                "store": refusal.fence.store.to_string(),
                "epoch": refusal.fence.epoch,
                "line": refusal.fence.line,
                "place": refusal.fence.place,
                "at": refusal.fence.at.to_string(),
                "run": refusal.fence.run,
            },
            "unknown": refusal.window(),
        }));
    } else {
        output::line(format_args!(
            "accepted: store {} has epoch {} now; start the bridge, and ask billing to send again \
             what it sent from {}",
            accepted.store,
            accepted.epoch,
            refusal.window()
        ));
    }
    Ok(Exit::Done)
}

async fn status(settings: &Settings, json: bool) -> Result<Exit, Failed> {
    let transforms = Arc::new(Transforms::new(assemble::catalog(settings)?));
    let clock = Arc::new(SystemClock);
    let store = assemble::open_store(settings, clock, transforms, Role::Operator)?;
    let status = store.status().await?;
    let counts = &status.counts;
    if json {
        let errors: Vec<_> = counts
            .errors_open
            .iter()
            .map(|(group, count)| json!({ "group": group.to_string(), "count": count }))
            .collect();
        output::json(&json!({
            "path": status.path.display().to_string(),
            "schema": status.schema,
            "bytes": status.bytes,
            "log_bytes": status.log_bytes,
            "requests": named(&counts.requests),
            "outbox": named(&counts.outbox),
            "errors_open": errors,
        }));
        return Ok(Exit::Done);
    }
    output::pairs(&[
        ("store", status.path.display().to_string()),
        ("schema", status.schema.to_string()),
        ("size", format!("{} KiB, log {} KiB", status.bytes / 1024, status.log_bytes / 1024)),
    ]);
    output::line("");
    let rows = |head: &str, counts: &[(&'static str, u64)]| {
        counts
            .iter()
            .map(|(name, count)| vec![format!("{head} {name}"), count.to_string()])
            .collect::<Vec<_>>()
    };
    let mut all = rows("requests", &counts.requests);
    all.extend(rows("outbox", &counts.outbox));
    let open = counts.errors_open.iter();
    all.extend(open.map(|(group, n)| vec![format!("errors {group}"), n.to_string()]));
    output::table(&["what", "count"], all, "the store is empty");
    Ok(Exit::Done)
}

fn named(counts: &[(&'static str, u64)]) -> serde_json::Value {
    counts
        .iter()
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
