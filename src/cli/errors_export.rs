//! `tieline errors export`: records with their messages, for other tools.

use std::io::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::exit::{Exit, Failed};
use super::select::Select;
use super::{output, views};
use crate::bridge::operator::Operations;
use crate::domain::ErrorStatus;

/// Writes the selected open records, one JSON object a line.
pub(super) async fn export(
    select: &Select,
    all: bool,
    file: Option<PathBuf>,
    operations: &Operations,
    now: Timestamp,
) -> Result<Exit, Failed> {
    select.named(all)?;
    let ids = operations.select(&select.query(vec![ErrorStatus::Open], now)?).await?;
    let mut sink = match &file {
        Some(path) => Some(
            std::fs::File::create(path)
                .map(std::io::BufWriter::new)
                .map_err(|error| Failed::usage(format!("create {}: {error}", path.display())))?,
        ),
        None => None,
    };
    for &id in &ids {
        let Some(error) = operations.store.error(id).await? else { continue };
        let mut value = views::error(&error);
        if let Some(message) = operations.store.error_message(id).await? {
            value["payload"] = exact(&message.payload);
            value["properties"] = json!(message.properties);
        }
        match &mut sink {
            Some(sink) => writeln!(sink, "{value}")
                .map_err(|error| Failed::usage(format!("write the export: {error}")))?,
            None => output::json(&value),
        }
    }
    if let (Some(mut sink), Some(path)) = (sink, file) {
        sink.flush().map_err(|error| Failed::usage(format!("write the export: {error}")))?;
        output::note(format_args!(
            "{} written to {}",
            output::plural(ids.len(), "record", "records"),
            path.display()
        ));
    }
    Ok(Exit::Done)
}

/// Bytes without loss: as text if they are text, else as numbers.
fn exact(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "bytes": bytes }),
    }
}
