//! Requests as people see them, and how many of what stand where. Reads only.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params_from_iter};
use uuid::Uuid;

use super::payload::{Payload, bundle_of, payload_columns};
use super::readers::Reader;
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

/// Names both indexes of service points, so that both are used.
const OF_SERVICE_POINT: &str = "r.seq IN (\
     SELECT l.seq FROM requests l WHERE l.service_point = ? AND l.live = 1 UNION ALL \
     SELECT e.seq FROM requests e WHERE e.service_point = ? AND e.live = 0)";

pub(super) fn requests(connection: &Connection, query: &RequestQuery) -> Result<Vec<RequestView>> {
    let mut filter = Filter::default();
    if !query.states.is_empty() {
        let code = |state: &String| rows::STATES.iter().position(|name| name == state);
        if query.states.iter().all(|state| RARE.contains(&state.as_str())) {
            filter.also("(r.state = 0 OR r.state = 3 OR r.state = 4 OR r.state = 8)");
        }
        let codes = query.states.iter().filter_map(code).filter_map(|at| i64::try_from(at).ok());
        filter.among("r.state", codes.map(Value::Integer));
    }
    if let Some(id) = &query.sync_request {
        filter.with("r.sync_request = ?", id.as_str().to_owned());
    }
    if let Some(id) = &query.service_point {
        filter.with(OF_SERVICE_POINT, id.as_str().to_owned());
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

/// By the number of the request, which must be known: asked for by its id, SQLite reads each part of
/// the view as a whole.
pub(super) const LINES: &str =
    "SELECT line, at_ms, kind, detail FROM timeline WHERE request = ?1 ORDER BY line";

pub(super) fn timeline(connection: &Connection, id: RequestId) -> Result<Vec<JournalLine>> {
    const NUMBER: &str = "SELECT seq FROM requests WHERE id = ?1";
    let mut statement = connection.prepare_cached(NUMBER)?;
    let mut found = statement.query([id.as_uuid().as_bytes()])?;
    let Some(request) = found.next()?.map(|row| row.get::<_, i64>(0)).transpose()? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(LINES)?;
    let mut found = statement.query([request])?;
    let mut lines = Vec::new();
    while let Some(row) = found.next()? {
        let at = rows::time(row, 1)?;
        lines.push(JournalLine { at, kind: row.get(2)?, detail: row.get(3)? });
    }
    Ok(lines)
}

pub(super) fn request_messages(reader: &Reader, id: RequestId) -> Result<Option<RequestMessages>> {
    const RECEIVED: &str = concat!(
        "SELECT ",
        payload_columns!("r.received", "p"),
        ", r.seq FROM requests r JOIN payloads p ON p.id = ",
        bundle_of!("r.received"),
        " WHERE r.id = ?1"
    );
    const LOCATION: &str = concat!(
        "SELECT ",
        payload_columns!("r.outgoing", "p"),
        " FROM requests r JOIN payloads p ON p.id = ",
        bundle_of!("r.outgoing"),
        " WHERE r.seq = ?1"
    );
    const REPLIES: &str = concat!(
        "SELECT ",
        payload_columns!("y.payload", "p"),
        ", y.message, y.outcome, y.state, y.made_at_ms, y.delivered_at_ms \
         FROM replies y JOIN payloads p ON p.id = ",
        bundle_of!("y.payload"),
        " WHERE y.request = ?1 ORDER BY y.number"
    );
    let Reader { connection, unpacker } = reader;
    let mut unpacker = unpacker.borrow_mut();
    let mut statement = connection.prepare_cached(RECEIVED)?;
    let mut found = statement.query([id.as_uuid().as_bytes()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let received = arrival(&unpacker.read(row, 0)?)?;
    let seq: i64 = row.get(5)?;
    let mut statement = connection.prepare_cached(LOCATION)?;
    let mut found = statement.query([seq])?;
    let location = match found.next()? {
        Some(row) => unpacker.read(row, 0)?.made.map(<[u8]>::to_vec),
        None => None,
    };
    let mut statement = connection.prepare_cached(REPLIES)?;
    let mut found = statement.query([seq])?;
    let mut replies = Vec::new();
    while let Some(row) = found.next()? {
        let state = match super::replies::reply_state(row.get(7)?) {
            ReplyState::Pending => "pending",
            ReplyState::Delivered => "delivered",
            ReplyState::Parked => "parked",
        };
        replies.push(ReplyView {
            message: MessageId::from_uuid(Uuid::from_bytes(row.get(5)?)),
            outcome: row.get(6)?,
            state: state.to_owned(),
            made_at: rows::time(row, 8)?,
            delivered_at: rows::optional_time(row, 9)?,
            payload: unpacker.read(row, 0)?.body.to_owned(),
        });
    }
    Ok(Some(RequestMessages { received, location, replies }))
}

/// A payload as the message that it came as.
pub(super) fn arrival(payload: &Payload<'_>) -> Result<Arrival> {
    let properties = match payload.properties {
        None => crate::bridge::Properties::default(),
        Some(json) => serde_json::from_str(json).map_err(|error| StoreError::Work {
            what: "read the properties of a message",
            source: Box::new(error),
        })?,
    };
    Ok(Arrival { payload: payload.body.to_owned(), properties })
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
