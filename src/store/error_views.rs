//! Error records as people see them: pages, groups, selections. Reads only.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row as SqlRow, params_from_iter};

use super::outbox::about;
use super::payload::{bundle_of, payload_columns};
use super::readers::Reader;
use super::rows::{self, Result};
use super::views::{Filter, arrival, page};
use crate::bridge::Arrival;
use crate::bridge::ports::{ErrorQuery, ErrorView, GroupView, Lane, Operator};
use crate::domain::{ErrorId, ErrorStatus, FailureClass, FailureCode, FailureGroup, Leg};

const JOINED: &str = "errors e LEFT JOIN requests r ON r.seq = e.request \
     LEFT JOIN answers a ON e.about = 1 AND a.seq = e.subject \
     LEFT JOIN replies y ON e.about = 2 AND y.seq = e.subject";

pub(super) fn errors(connection: &Connection, query: &ErrorQuery) -> Result<Vec<ErrorView>> {
    let mut filter = filter(query);
    if let Some(before) = query.before {
        filter.with("e.id < ?", before.0);
    }
    let sql = format!(
        "SELECT e.id, e.about, r.id, a.id, y.message, coalesce(r.sync_request, a.sync_request), \
         r.service_point, e.code, e.detail, e.defects, e.rule, e.status, e.failures, \
         e.first_at_ms, e.last_at_ms, e.by_name, e.by_reason FROM {JOINED} \
         WHERE {} ORDER BY e.id DESC LIMIT {}",
        filter.sql(),
        page(query.limit)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(filter.into_values()))?;
    let mut views = Vec::new();
    while let Some(row) = found.next()? {
        views.push(error_view(row)?);
    }
    Ok(views)
}

fn error_view(row: &SqlRow<'_>) -> Result<ErrorView> {
    let failure = rows::failure(row, 7)?;
    let group = FailureGroup { code: failure.code, rule: row.get(10)? };
    let by: Option<String> = row.get(15)?;
    let by = match by {
        Some(name) => Some(Operator { name, reason: row.get(16)? }),
        None => None,
    };
    Ok(ErrorView {
        id: ErrorId(row.get(0)?),
        about: about(row, 1, [2, 3, 4])?,
        request: rows::optional_request_id(row, 2)?,
        sync_request: rows::sync_request(row, 5)?,
        service_point: rows::service_point(row, 6)?,
        failure,
        group,
        status: rows::status(row, 11)?,
        failures: row.get(12)?,
        first_at: rows::time(row, 13)?,
        last_at: rows::time(row, 14)?,
        by,
    })
}

pub(super) fn error_groups(connection: &Connection, query: &ErrorQuery) -> Result<Vec<GroupView>> {
    let filter = filter(query);
    let sql = format!(
        "SELECT g.id, g.code, g.rule, g.count, g.first, g.last, \
         (SELECT detail FROM errors WHERE id = g.id) FROM \
         (SELECT max(e.id) AS id, e.code, e.rule, count(*) AS count, min(e.first_at_ms) AS first, \
         max(e.last_at_ms) AS last FROM {JOINED} WHERE {} GROUP BY e.code, e.rule) g \
         ORDER BY g.count DESC, g.code, g.rule LIMIT {}",
        filter.sql(),
        page(query.limit)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(filter.into_values()))?;
    let mut views = Vec::new();
    while let Some(row) = found.next()? {
        views.push(GroupView {
            group: FailureGroup { code: rows::failure_code(row, 1)?, rule: row.get(2)? },
            count: rows::number(row, 3)?,
            first_at: rows::time(row, 4)?,
            last_at: rows::time(row, 5)?,
            sample: row.get(6)?,
            sample_error: ErrorId(row.get(0)?),
        });
    }
    Ok(views)
}

/// Records named by their ids are found whatever became of them; else, without statuses, only open
/// ones are.
fn filter(query: &ErrorQuery) -> Filter {
    let mut filter = Filter::default();
    if !query.ids.is_empty() {
        filter.among("e.id", query.ids.iter().map(|id| Value::Integer(id.0)));
    }
    match query.statuses.as_slice() {
        [] if !query.ids.is_empty() => {}
        [] | [ErrorStatus::Open] => filter.also("e.status = 0"),
        statuses => {
            let codes = statuses.iter().map(|status| rows::status_code(*status));
            filter.among("e.status", codes.map(|code| Value::Integer(code.into())));
        }
    }
    if let Some(group) = &query.group {
        if let Some((code, rule)) = group.split_once(':') {
            filter.with("e.code = ?", code.to_owned());
            filter.with("e.rule = ?", rule.to_owned());
        } else {
            filter.with("e.code = ?", group.clone());
            filter.also("e.rule IS NULL");
        }
    }
    if let Some(code) = &query.code {
        filter.with("e.code = ?", code.clone());
    }
    if let Some(id) = &query.sync_request {
        filter.with("coalesce(r.sync_request, a.sync_request) = ?", id.as_str().to_owned());
    }
    if let Some(id) = &query.service_point {
        filter.with("r.service_point = ?", id.as_str().to_owned());
    }
    if let Some(since) = query.since {
        filter.with("e.last_at_ms >= ?", since.as_millisecond());
    }
    if let Some(until) = query.until {
        filter.with("e.last_at_ms <= ?", until.as_millisecond());
    }
    filter
}

pub(super) fn error_message(reader: &Reader, id: ErrorId) -> Result<Option<Arrival>> {
    let sql = format!(
        "SELECT {} FROM {JOINED} JOIN payloads p ON p.id = {} WHERE e.id = ?1",
        payload_columns!(
            "CASE e.about WHEN 0 THEN r.received WHEN 1 THEN a.payload ELSE y.payload END",
            "p"
        ),
        bundle_of!(
            "(CASE e.about WHEN 0 THEN r.received WHEN 1 THEN a.payload ELSE y.payload END)"
        )
    );
    let mut statement = reader.connection.prepare_cached(&sql)?;
    let mut found = statement.query([id.0])?;
    let mut unpacker = reader.unpacker.borrow_mut();
    found.next()?.map(|row| arrival(&unpacker.read(row, 0)?)).transpose()
}

/// What an outage of a lane parked: open records of the codes that are no fault of the message.
pub(super) fn parked_by_outage(
    connection: &Connection,
    lane: Lane,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<ErrorId>> {
    let leg = match lane {
        Lane::Location => Leg::Location,
        Lane::Reply => Leg::Reply,
        Lane::Note => return Ok(Vec::new()),
    };
    let passes = |code: &&FailureCode| {
        code.leg() == leg && matches!(code.class(), FailureClass::Transient | FailureClass::InDoubt)
    };
    let codes = FailureCode::ALL.iter().filter(passes);
    let mut filter = Filter::default();
    filter.also("status = 0");
    filter.among("code", codes.map(|code| Value::Text(code.as_str().to_owned())));
    filter.with("last_at_ms >= ?", since.as_millisecond());
    let sql =
        format!("SELECT id FROM errors WHERE {} ORDER BY id LIMIT {}", filter.sql(), page(limit));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(filter.into_values()))?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(ErrorId(row.get(0)?));
    }
    Ok(ids)
}
