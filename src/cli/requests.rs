//! `tieline requests`: what became of a request.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::exit::{Exit, Failed};
use super::{output, select, views};
use crate::bridge::Store;
use crate::bridge::ports::{RequestMessages, RequestQuery, RequestView};
use crate::domain::{RequestId, SyncRequestId};

#[derive(Subcommand, Debug)]
pub(super) enum Requests {
    /// List requests, newest first.
    List(List),
    /// Show a request with its messages.
    Show {
        /// The request's id, or billing's sync request id.
        id: String,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Show the messages too, as they were received and sent.
        #[arg(long)]
        messages: bool,
    },
    /// Show the timeline of a request: received, published, answered, replied.
    Trace {
        /// The request's id, or billing's sync request id.
        id: String,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Only in these states: waiting, pending, published, overdue, applied, rejected, parked,
    /// superseded, discarded.
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
    states: Vec<String>,
    #[arg(long, value_name = "ID")]
    service_point: Option<String>,
    #[arg(long, value_name = "ID")]
    sync_request: Option<String>,
    /// Received at or after this time: 2026-03-14T04:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Received at or before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

const STATES: [&str; 9] = [
    "waiting",
    "pending",
    "published",
    "overdue",
    "applied",
    "rejected",
    "parked",
    "superseded",
    "discarded",
];

/// Runs the command.
pub(super) async fn run(
    command: Requests,
    store: &dyn Store,
    now: Timestamp,
) -> Result<Exit, Failed> {
    match command {
        Requests::List(list) => self::list(list, store, now).await,
        Requests::Show { id, json, messages } => show(&id, json, messages, store).await,
        Requests::Trace { id, json } => trace(&id, json, store).await,
    }
}

async fn list(list: List, store: &dyn Store, now: Timestamp) -> Result<Exit, Failed> {
    if let Some(wrong) = list.states.iter().find(|state| !STATES.contains(&state.as_str())) {
        let known = STATES.join(", ");
        return Err(Failed::usage(format!("'{wrong}' is not a state; expected one of {known}")));
    }
    let query = RequestQuery {
        states: list.states,
        sync_request: select::sync_request(list.sync_request.as_deref())?,
        service_point: select::service_point(list.service_point.as_deref())?,
        since: list.since.as_deref().map(|text| select::time(text, now)).transpose()?,
        until: list.until.as_deref().map(|text| select::time(text, now)).transpose()?,
        limit: list.limit,
    };
    let requests = store.requests(&query).await?;
    if list.json {
        output::json(&requests.iter().map(views::request).collect());
        return Ok(Exit::Done);
    }
    let rows = requests.iter().map(|request| {
        vec![
            views::instant(request.received_at),
            views::or_dash(request.sync_request.as_ref()),
            views::or_dash(request.service_point.as_ref()),
            request.state.clone(),
            views::or_dash(request.error.as_ref()),
            request.id.to_string(),
        ]
    });
    output::table(
        &["received (UTC)", "sync request", "service point", "state", "error", "request"],
        rows.collect(),
        "no requests",
    );
    Ok(Exit::Done)
}

async fn show(id: &str, json: bool, messages: bool, store: &dyn Store) -> Result<Exit, Failed> {
    let (request, others) = find(id, store).await?;
    let content = if messages { store.request_messages(request.id).await? } else { None };
    if json {
        let mut value = views::request(&request);
        if let Some(content) = &content {
            value["messages"] = messages_json(content);
        }
        value["same_sync_request"] =
            others.iter().map(|other| json!(other.id.to_string())).collect();
        output::json(&value);
        return Ok(Exit::Done);
    }
    output::pairs(&[
        ("request", request.id.to_string()),
        ("sync request", views::or_dash(request.sync_request.as_ref())),
        ("service point", views::or_dash(request.service_point.as_ref())),
        ("kind", views::or_dash(request.kind.as_ref())),
        ("version", views::or_dash(request.revision.version.as_ref())),
        ("state", request.state.clone()),
        ("edition", request.edition.to_string()),
        ("superseded by", views::or_dash(request.superseded_by.as_ref())),
        ("answer due", views::or_dash(request.answer_due.as_ref())),
        ("last reply", views::or_dash(request.told.as_ref())),
        ("mapping", views::or_dash(request.mapping.as_ref())),
        ("received", request.received_at.to_string()),
        ("changed", request.changed_at.to_string()),
        ("resends", request.resends.to_string()),
        ("error", views::or_dash(request.error.as_ref())),
    ]);
    for other in &others {
        output::line(format_args!("same sync request: {} ({})", other.id, other.state));
    }
    if let Some(content) = content {
        print_messages(&content);
    }
    Ok(Exit::Done)
}

async fn trace(id: &str, json: bool, store: &dyn Store) -> Result<Exit, Failed> {
    let (request, _) = find(id, store).await?;
    let timeline = store.timeline(request.id).await?;
    if json {
        let mut value = views::request(&request);
        value["timeline"] = timeline.iter().map(views::journal).collect();
        output::json(&value);
        return Ok(Exit::Done);
    }
    output::line(format_args!(
        "request {}  sync request {}  service point {}  {}",
        request.id,
        views::or_dash(request.sync_request.as_ref()),
        views::or_dash(request.service_point.as_ref()),
        request.state
    ));
    let began = timeline.first().map(|line| line.at);
    let rows = timeline.iter().map(|line| {
        let after = began.map_or(0, |began| line.at.duration_since(began).as_millis());
        vec![views::moment(line.at), format!("+{after} ms"), line.kind.clone(), line.detail.clone()]
    });
    output::table(&["at", "after", "what", "detail"], rows.collect(), "no timeline");
    Ok(Exit::Done)
}

/// Finds a request by its id or by billing's; of several with the same sync request id the newest
/// is taken and the others are named.
async fn find(id: &str, store: &dyn Store) -> Result<(RequestView, Vec<RequestView>), Failed> {
    let unknown = || {
        Failed::new(
            Exit::Failed,
            format!("no request '{}' is in the store", output::plain(id)),
            "expected the id of a request or a sync request id; `tieline requests list` shows them",
        )
    };
    // A sync request id has at most 14 characters, a request's id 32 or more.
    if let Ok(sync_request) = SyncRequestId::new(id) {
        let query =
            RequestQuery { sync_request: Some(sync_request), limit: 20, ..RequestQuery::default() };
        let mut found = store.requests(&query).await?;
        if found.is_empty() {
            return Err(unknown());
        }
        let newest = found.remove(0);
        return Ok((newest, found));
    }
    let id = id.parse::<RequestId>().map_err(|_| unknown())?;
    Ok((store.request(id).await?.ok_or_else(unknown)?, Vec::new()))
}

fn messages_json(messages: &RequestMessages) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "received": {
            "payload": text(&messages.received.payload),
            "properties": messages.received.properties,
        },
        "location": messages.location.as_deref().map(text),
        "replies": messages.replies.iter().map(|reply| json!({
            "message": reply.message.to_string(),
            "outcome": reply.outcome,
            "state": reply.state,
            "made_at": reply.made_at.to_string(),
            "delivered_at": reply.delivered_at.map(|at| at.to_string()),
            "payload": text(&reply.payload),
        })).collect::<Vec<_>>(),
    })
}

fn print_messages(messages: &RequestMessages) {
    let text = |bytes: &[u8]| output::plain(&String::from_utf8_lossy(bytes));
    output::line(format_args!("\n--- received\n{}", text(&messages.received.payload)));
    if let Some(location) = &messages.location {
        output::line(format_args!("\n--- asset location\n{}", text(location)));
    }
    for reply in &messages.replies {
        output::line(format_args!(
            "\n--- reply {} ({}, {})\n{}",
            reply.message,
            reply.outcome,
            reply.state,
            text(&reply.payload)
        ));
    }
}
