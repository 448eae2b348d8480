//! Requests as people see them, and how many of what stand where. Reads only.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params_from_iter};
use uuid::Uuid;

use super::payload::Unpacker;
use super::replies::ReplyState;
use super::rows::{self, Result, wrong};
use crate::bridge::ports::{
    Counts, JournalLine, Lane, ReplyView, RequestMessages, RequestQuery, RequestView,
};
use crate::bridge::{Arrival, StoreError};
use crate::domain::{ErrorId, FailureGroup, MessageId, RequestId};

/// The longest page; and the page of a query that sets no limit.
const PAGE_MAX: u32 = 10_000;
const PAGE: u32 = 100;

/// The states that few requests are in, as the index `requests_rare` lists them.
const RARE: [&str; 4] = ["waiting", "parked", "overdue", "discarded"];

/// Conditions of a query with their values.
#[derive(Default)]
pub(super) struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    /// Adds a condition without a value.
    pub(super) fn also(&mut self, condition: &str) {
        self.conditions.push(condition.to_owned());
    }

    /// Adds a condition in which `?` stands for the value.
    pub(super) fn with(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.conditions.push(condition.replace('?', &format!("?{}", self.values.len())));
    }

    /// Adds the condition that a column has one of the values.
    pub(super) fn among(&mut self, column: &str, values: impl IntoIterator<Item = Value>) {
        let mut places = Vec::new();
        for value in values {
            self.values.push(value);
            places.push(format!("?{}", self.values.len()));
        }
        self.conditions.push(format!("{column} IN ({})", places.join(", ")));
    }

    pub(super) fn sql(&self) -> String {
        if self.conditions.is_empty() {
            return "1".to_owned();
        }
        self.conditions.join(" AND ")
    }

    pub(super) fn into_values(self) -> Vec<Value> {
        self.values
    }
}

pub(super) fn page(limit: u32) -> u32 {
    if limit == 0 { PAGE } else { limit.min(PAGE_MAX) }
}

const REQUEST_COLUMNS: &str = "r.seq, r.id, r.sync_request, r.service_point, r.kind, r.version, \
     r.created_at_ms, r.state, r.edition, r.superseded_by, r.date_ms, r.mapping, r.told, \
     r.received_at_ms, r.changed_at_ms, r.resends, r.error";

pub(super) fn request(connection: &Connection, id: RequestId) -> Result<Option<RequestView>> {
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM requests r WHERE r.id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([id.as_uuid().as_bytes()])?;
    found.next()?.map(request_view).transpose()
}

pub(super) fn requests(connection: &Connection, query: &RequestQuery) -> Result<Vec<RequestView>> {
    let mut filter = Filter::default();
    if !query.states.is_empty() {
        let code = |state: &String| rows::STATES.iter().position(|name| name == state);
        if query.states.iter().all(|state| RARE.contains(&state.as_str())) {
            filter.also("r.state IN (0, 3, 4, 8)");
        }
        let codes = query.states.iter().filter_map(code).filter_map(|at| i64::try_from(at).ok());
        filter.among("r.state", codes.map(Value::Integer));
    }
    if let Some(id) = &query.sync_request {
        filter.with("r.sync_request = ?", id.as_str().to_owned());
    }
    if let Some(id) = &query.service_point {
        filter.with("r.service_point = ?", id.as_str().to_owned());
    }
    if let Some(since) = query.since {
        filter.with("r.received_at_ms >= ?", since.as_millisecond());
    }
    if let Some(until) = query.until {
        filter.with("r.received_at_ms <= ?", until.as_millisecond());
    }
    let sql = format!(
        "SELECT {REQUEST_COLUMNS} FROM requests r WHERE {} ORDER BY r.seq DESC LIMIT {}",
        filter.sql(),
        page(query.limit)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(filter.into_values()))?;
    let mut views = Vec::new();
    while let Some(row) = found.next()? {
        views.push(request_view(row)?);
    }
    Ok(views)
}

fn request_view(row: &SqlRow<'_>) -> Result<RequestView> {
    let state: u8 = row.get(7)?;
    let state = *rows::STATES
        .get(usize::from(state))
        .ok_or_else(|| wrong(row, "requests", format!("state {state} does not exist")))?;
    Ok(RequestView {
        id: rows::request_id(row, 1)?,
        sync_request: rows::sync_request(row, 2)?,
        service_point: rows::service_point(row, 3)?,
        kind: row.get::<_, Option<u8>>(4)?.map(|kind| rows::kind_from(kind).as_str().to_owned()),
        revision: rows::read_revision(row, 5)?,
        state: state.to_owned(),
        edition: row.get(8)?,
        superseded_by: rows::optional_request_id(row, 9)?,
        answer_due: if state == "published" { rows::optional_time(row, 10)? } else { None },
        mapping: row.get(11)?,
        told: row.get::<_, Option<u8>>(12)?.map(|sign| rows::sign_from(sign).as_str().to_owned()),
        received_at: rows::time(row, 13)?,
        changed_at: rows::time(row, 14)?,
        resends: row.get(15)?,
        error: row.get::<_, Option<i64>>(16)?.map(ErrorId),
    })
}

pub(super) fn timeline(connection: &Connection, id: RequestId) -> Result<Vec<JournalLine>> {
    const LINES: &str = "SELECT j.line, j.at_ms, j.kind, j.detail \
         FROM requests r CROSS JOIN journal j ON j.request = r.seq WHERE r.id = ?1 ORDER BY j.line";
    let mut statement = connection.prepare_cached(LINES)?;
    let mut found = statement.query([id.as_uuid().as_bytes()])?;
    let mut lines = Vec::new();
    while let Some(row) = found.next()? {
        let at = rows::time(row, 1)?;
        lines.push(JournalLine { at, kind: row.get(2)?, detail: row.get(3)? });
    }
    Ok(lines)
}

pub(super) fn request_messages(
    connection: &Connection,
    id: RequestId,
) -> Result<Option<RequestMessages>> {
    const FIND: &str = "SELECT r.seq, i.properties, i.made_at, i.form, i.body, o.made_at, o.form, o.body FROM requests r \
         JOIN payloads i ON i.id = r.received LEFT JOIN payloads o ON o.id = r.outgoing \
         WHERE r.id = ?1";
    const REPLIES: &str = "SELECT p.seq, p.message, p.outcome, p.state, p.made_at_ms, \
         p.delivered_at_ms, b.made_at, b.form, b.body FROM replies p JOIN payloads b ON b.id = p.payload \
         WHERE p.request = ?1 ORDER BY p.number";
    let mut statement = connection.prepare_cached(FIND)?;
    let mut found = statement.query([id.as_uuid().as_bytes()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let seq: i64 = row.get(0)?;
    let received = arrival(row, 1)?;
    let mut unpacker = Unpacker::default();
    let has_location = row.get_ref(7)? != ValueRef::Null;
    let location = has_location.then(|| unpacker.read_made(row, 5)).transpose()?;
    let mut statement = connection.prepare_cached(REPLIES)?;
    let mut found = statement.query([seq])?;
    let mut replies = Vec::new();
    while let Some(row) = found.next()? {
        let state = match super::replies::reply_state(row.get(3)?) {
            ReplyState::Pending => "pending",
            ReplyState::Delivered => "delivered",
            ReplyState::Parked => "parked",
        };
        replies.push(ReplyView {
            message: MessageId::from_uuid(Uuid::from_bytes(row.get(1)?)),
            outcome: row.get(2)?,
            state: state.to_owned(),
            made_at: rows::time(row, 4)?,
            delivered_at: rows::optional_time(row, 5)?,
            payload: unpacker.read(row, 6)?,
        });
    }
    Ok(Some(RequestMessages { received, location, replies }))
}

/// Reads a message from the columns properties, `made_at`, form, body.
pub(super) fn arrival(row: &SqlRow<'_>, at: usize) -> Result<Arrival> {
    let properties = match row.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        None => crate::bridge::Properties::default(),
        Some(json) => serde_json::from_str(json).map_err(|error| StoreError::Work {
            what: "read the properties of a message",
            source: Box::new(error),
        })?,
    };
    Ok(Arrival { payload: Unpacker::default().read(row, at + 1)?, properties })
}

pub(super) fn counts(connection: &Connection) -> Result<Counts> {
    const REQUESTS: &str = "SELECT state, requests FROM tallies ORDER BY state";
    const WAITING: &str = "SELECT count(*) FROM outbox WHERE lane = ?1";
    const OLDEST: &str = "SELECT put_at_ms FROM outbox WHERE lane = ?1 ORDER BY place LIMIT 1";
    const ERRORS: &str =
        "SELECT code, rule, count(*) FROM errors WHERE status = 0 GROUP BY code, rule";
    let mut counts = Counts::default();
    let mut statement = connection.prepare_cached(REQUESTS)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let state: u8 = row.get(0)?;
        if let Some(state) = rows::STATES.get(usize::from(state)) {
            counts.requests.push((state, rows::number(row, 1)?));
        }
    }
    for lane in [Lane::Location, Lane::Reply, Lane::Note] {
        let code = rows::lane_code(lane);
        let mut statement = connection.prepare_cached(WAITING)?;
        let waiting = statement.query_row([code], |row| Ok(rows::number(row, 0)))??;
        counts.outbox.push((lane.as_str(), waiting));
        let mut statement = connection.prepare_cached(OLDEST)?;
        let oldest = statement.query_row([code], |row| Ok(rows::time(row, 0))).optional()?;
        if let Some(oldest) = oldest.transpose()? {
            counts.oldest.push((lane.as_str(), oldest));
        }
    }
    let mut statement = connection.prepare_cached(ERRORS)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let group = FailureGroup { code: rows::failure_code(row, 0)?, rule: row.get(1)? };
        counts.errors_open.push((group, rows::number(row, 2)?));
    }
    Ok(counts)
}
