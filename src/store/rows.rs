//! Rows to values and back, and the error for rows that contradict what the rules allow.

use jiff::Timestamp;
use rusqlite::Row as SqlRow;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::bridge::{Lane, StoreError};
use crate::domain::{
    Defect, ErrorStatus, Failure, FailureCode, RequestId, Revision, ServicePointId, Sign, State,
    SubjectKind, SyncRequestId, Verdict,
};

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Work { what: "work on the message store", source: Box::new(source) }
    }
}

/// The columns of [`Row::read`], in its order. The table is called `r`.
macro_rules! row_columns {
    () => {
        "r.seq, r.id, r.sync_request, r.service_point, r.version, r.created_at_ms, r.state, \
         r.tries, r.date_ms, r.superseded_by, r.place, r.attempted, r.kind, r.edition, r.received, \
         r.outgoing, r.mapping, r.error, r.told, r.replies, r.reply_correlation, r.trace, r.born_line, \
         r.confirmed_line, r.confirmed_at_ms"
    };
}
pub(super) use row_columns;

/// A request as the store moves it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) id: RequestId,
    pub(super) sync_request: Option<SyncRequestId>,
    pub(super) service_point: Option<ServicePointId>,
    pub(super) revision: Revision,
    pub(super) state: State,
    pub(super) place: Option<i64>,
    pub(super) attempted: bool,
    pub(super) kind: Option<SubjectKind>,
    pub(super) edition: u16,
    pub(super) received: i64,
    pub(super) outgoing: Option<i64>,
    pub(super) mapping: Option<String>,
    pub(super) error: Option<i64>,
    pub(super) told: Option<Sign>,
    pub(super) replies: u16,
    pub(super) reply_correlation: Option<String>,
    pub(super) trace: Option<String>,
    /// The line of its arrival; the next one is that of its translation. Told by this row alone.
    pub(super) born_line: Option<i64>,
    /// The line of its first confirm, and when that was. Told by this row alone.
    pub(super) confirmed_line: Option<i64>,
    pub(super) confirmed_at_ms: Option<i64>,
}

impl Row {
    pub(super) fn read(row: &SqlRow<'_>) -> Result<Self> {
        let seq = row.get(0)?;
        Ok(Self {
            seq,
            id: request_id(row, 1)?,
            sync_request: sync_request(row, 2)?,
            service_point: service_point(row, 3)?,
            revision: revision(row, 4)?,
            state: state(row, 6)?,
            place: row.get(10)?,
            attempted: row.get(11)?,
            kind: row.get::<_, Option<u8>>(12)?.map(kind_from),
            edition: row.get(13)?,
            received: row.get(14)?,
            outgoing: row.get(15)?,
            mapping: row.get(16)?,
            error: row.get(17)?,
            told: row.get::<_, Option<u8>>(18)?.map(sign_from),
            replies: row.get(19)?,
            reply_correlation: row.get(20)?,
            trace: row.get(21)?,
            born_line: row.get(22)?,
            confirmed_line: row.get(23)?,
            confirmed_at_ms: row.get(24)?,
        })
    }
}

/// The columns of a state: code, tries, date, by.
pub(super) struct StateColumns {
    pub(super) code: u8,
    pub(super) tries: u32,
    pub(super) date: Option<i64>,
    pub(super) by: Option<Uuid>,
}

pub(super) const STATES: [&str; 9] = [
    "waiting",
    "pending",
    "published",
    "parked",
    "overdue",
    "applied",
    "rejected",
    "superseded",
    "discarded",
];

pub(super) fn state_code(state: &State) -> u8 {
    match state {
        State::Waiting => 0,
        State::Pending { .. } => 1,
        State::Published { .. } => 2,
        State::Parked => 3,
        State::Overdue => 4,
        State::Applied => 5,
        State::Rejected => 6,
        State::Superseded { .. } => 7,
        State::Discarded => 8,
    }
}

/// Whether it is found among those of its service point that are not over.
pub(super) fn is_live(state: &State) -> bool {
    state_code(state) < 4
}

pub(super) fn state_columns(state: &State) -> StateColumns {
    let code = state_code(state);
    let plain = StateColumns { code, tries: 0, date: None, by: None };
    match state {
        State::Pending { tries, due } => {
            StateColumns { tries: *tries, date: Some(due.as_millisecond()), ..plain }
        }
        State::Published { answer_due } => {
            StateColumns { date: Some(answer_due.as_millisecond()), ..plain }
        }
        State::Superseded { by } => StateColumns { by: Some(*by.as_uuid()), ..plain },
        State::Waiting
        | State::Parked
        | State::Overdue
        | State::Applied
        | State::Rejected
        | State::Discarded => plain,
    }
}

/// Reads a state from the columns state, tries, date, by.
fn state(row: &SqlRow<'_>, at: usize) -> Result<State> {
    let code: u8 = row.get(at)?;
    Ok(match code {
        0 => State::Waiting,
        1 => State::Pending { tries: row.get(at + 1)?, due: time(row, at + 2)? },
        2 => State::Published { answer_due: time(row, at + 2)? },
        3 => State::Parked,
        4 => State::Overdue,
        5 => State::Applied,
        6 => State::Rejected,
        7 => State::Superseded { by: request_id(row, at + 3)? },
        8 => State::Discarded,
        other => return Err(wrong(row, "requests", format!("state {other} does not exist"))),
    })
}

fn revision(row: &SqlRow<'_>, at: usize) -> Result<Revision> {
    Ok(Revision {
        version: row.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned),
        created_at: optional_time(row, at + 1)?,
    })
}

/// A revision as the store keeps it: milliseconds, so that what was stored and what arrives are
/// compared alike.
pub(super) fn kept(revision: &Revision) -> Revision {
    let cut = |at: Timestamp| Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
    Revision { version: revision.version, created_at: revision.created_at.map(cut) }
}

pub(super) fn read_revision(row: &SqlRow<'_>, at: usize) -> Result<Revision> {
    revision(row, at)
}

pub(super) fn uuid(row: &SqlRow<'_>, at: usize) -> Result<Uuid> {
    let bytes: [u8; 16] = row.get(at)?;
    Ok(Uuid::from_bytes(bytes))
}

pub(super) fn request_id(row: &SqlRow<'_>, at: usize) -> Result<RequestId> {
    uuid(row, at).map(RequestId::from_uuid)
}

pub(super) fn optional_request_id(row: &SqlRow<'_>, at: usize) -> Result<Option<RequestId>> {
    let bytes: Option<[u8; 16]> = row.get(at)?;
    Ok(bytes.map(|bytes| RequestId::from_uuid(Uuid::from_bytes(bytes))))
}

pub(super) fn sync_request(row: &SqlRow<'_>, at: usize) -> Result<Option<SyncRequestId>> {
    let Some(text) = row.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)? else {
        return Ok(None);
    };
    let id = SyncRequestId::new(text);
    id.map(Some).map_err(|text| wrong(row, "requests", format!("sync request '{text}'")))
}

pub(super) fn service_point(row: &SqlRow<'_>, at: usize) -> Result<Option<ServicePointId>> {
    let Some(text) = row.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)? else {
        return Ok(None);
    };
    let id = ServicePointId::new(text);
    id.map(Some).map_err(|text| wrong(row, "requests", format!("service point '{text}'")))
}

pub(super) fn time(row: &SqlRow<'_>, at: usize) -> Result<Timestamp> {
    let millis: i64 = row.get(at)?;
    Timestamp::from_millisecond(millis)
        .map_err(|_| wrong(row, "requests", format!("time {millis} is out of range")))
}

pub(super) fn optional_time(row: &SqlRow<'_>, at: usize) -> Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(at)?;
    millis.map(|_| time(row, at)).transpose()
}

pub(super) fn number(row: &SqlRow<'_>, at: usize) -> Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| wrong(row, "tallies", format!("{number} is no count")))
}

pub(super) fn kind_code(kind: SubjectKind) -> u8 {
    match kind {
        SubjectKind::Metered => 0,
        SubjectKind::Item => 1,
    }
}

pub(super) fn kind_from(code: u8) -> SubjectKind {
    if code == 0 { SubjectKind::Metered } else { SubjectKind::Item }
}

pub(super) fn sign_code(sign: Sign) -> u8 {
    match sign {
        Sign::Positive => 0,
        Sign::Negative => 1,
    }
}

pub(super) fn sign_from(code: u8) -> Sign {
    if code == 0 { Sign::Positive } else { Sign::Negative }
}

pub(super) fn verdict_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Positive => 0,
        Verdict::Negative => 1,
    }
}

pub(super) fn lane_code(lane: Lane) -> u8 {
    match lane {
        Lane::Location => 0,
        Lane::Reply => 1,
        Lane::Note => 2,
    }
}

pub(super) fn status_code(status: ErrorStatus) -> u8 {
    match status {
        ErrorStatus::Open => 0,
        ErrorStatus::Retrying => 1,
        ErrorStatus::Resolved => 2,
        ErrorStatus::Discarded => 3,
    }
}

pub(super) fn status(row: &SqlRow<'_>, at: usize) -> Result<ErrorStatus> {
    let code: u8 = row.get(at)?;
    Ok(match code {
        0 => ErrorStatus::Open,
        1 => ErrorStatus::Retrying,
        2 => ErrorStatus::Resolved,
        3 => ErrorStatus::Discarded,
        other => return Err(wrong(row, "errors", format!("status {other} does not exist"))),
    })
}

/// Reads a failure from the columns code, detail, defects.
pub(super) fn failure(row: &SqlRow<'_>, at: usize) -> Result<Failure> {
    let code = failure_code(row, at)?;
    let detail = row.get(at + 1)?;
    let defects = match row.get::<_, Option<String>>(at + 2)? {
        None => Vec::new(),
        Some(json) => defects_from(&json).map_err(|why| wrong(row, "errors", why))?,
    };
    Ok(Failure { code, detail, defects })
}

pub(super) fn failure_code(row: &SqlRow<'_>, at: usize) -> Result<FailureCode> {
    let code: String = row.get(at)?;
    code.parse().map_err(|why| wrong(row, "errors", why))
}

/// The defects of a failure as JSON, or nothing.
pub(super) fn defects_json(failure: &Failure) -> Result<Option<String>> {
    if failure.defects.is_empty() {
        return Ok(None);
    }
    let defects: Vec<_> = failure.defects.iter().map(StoredDefect::of).collect();
    json(&defects).map(Some)
}

pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Work { what: "write a row as JSON", source: Box::new(error) })
}

fn defects_from(json: &str) -> Result<Vec<Defect>, String> {
    let stored: Vec<StoredDefect<'_>> =
        serde_json::from_str(json).map_err(|error| format!("defects: {error}"))?;
    stored.into_iter().map(StoredDefect::into_defect).collect()
}

/// A defect as JSON. Its own type, so that the domain need not know how it is kept.
#[derive(Serialize, Deserialize)]
struct StoredDefect<'a> {
    code: std::borrow::Cow<'a, str>,
    rule: Option<String>,
    path: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    value: Option<String>,
    expected: String,
}

impl StoredDefect<'_> {
    fn of(defect: &Defect) -> Self {
        Self {
            code: defect.code.as_str().into(),
            rule: defect.rule.clone(),
            path: defect.path.clone(),
            line: defect.line,
            column: defect.column,
            value: defect.value.clone(),
            expected: defect.expected.clone(),
        }
    }

    fn into_defect(self) -> Result<Defect, String> {
        Ok(Defect {
            code: self.code.parse()?,
            rule: self.rule,
            path: self.path,
            line: self.line,
            column: self.column,
            value: self.value,
            expected: self.expected,
        })
    }
}

/// A row that contradicts the rules. Its first column tells which.
pub(super) fn wrong(row: &SqlRow<'_>, table: &'static str, why: impl Into<String>) -> StoreError {
    let which = row.get_ref(0).map_or_else(|_| "?".to_owned(), |value| format!("{value:?}"));
    StoreError::Inconsistent { table, row: which, why: why.into() }
}
