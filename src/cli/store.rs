//! `tieline store`: the message store.

use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;

use super::exit::{Exit, Failed};
use super::output;
use crate::bridge::Transforms;
use crate::config::Settings;
use crate::runtime::{SystemClock, assemble};
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
    }
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
