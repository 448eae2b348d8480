//! One transaction at work: the rows it reads and writes, whatever moves them.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, params};

use super::rows::{self, Result, Row, row_columns};
use crate::bridge::ports::{Clock, ReplyWriter, Rules};
use crate::bridge::{Arrival, StoreError};
use crate::domain::{Circumstances, Entry, RequestId, ServicePointId, State, SyncRequestId};

/// What every transaction needs to know.
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    pub(super) replies: Arc<dyn ReplyWriter>,
}

/// A transaction at work. One call of the port after the other runs in it.
pub(super) struct Work<'c> {
    pub(super) connection: &'c Connection,
    pub(super) context: &'c Context,
    pub(super) now: Timestamp,
    /// The requests that ceased to be under way: those behind them are due their turn.
    pub(super) freed: Vec<Freed>,
    /// How many requests more or fewer stand in each state: of the batch, and of this call.
    tally: [i64; rows::STATES.len()],
    tally_of_call: [i64; rows::STATES.len()],
}

/// The service point and sync request of a request that ceased to be under way.
pub(super) struct Freed {
    pub(super) service_point: Option<ServicePointId>,
    pub(super) sync_request: Option<SyncRequestId>,
}

impl<'c> Work<'c> {
    pub(super) fn new(connection: &'c Connection, context: &'c Context) -> Self {
        Self {
            connection,
            context,
            now: context.clock.now(),
            freed: Vec::new(),
            tally: [0; rows::STATES.len()],
            tally_of_call: [0; rows::STATES.len()],
        }
    }

    /// Begins a call: what the one before left undone is forgotten with its savepoint.
    pub(super) fn begin(&mut self) {
        self.now = self.context.clock.now();
        self.freed.clear();
        self.tally_of_call = [0; rows::STATES.len()];
    }

    /// Keeps what a call did.
    pub(super) fn keep(&mut self) {
        for (sum, more) in self.tally.iter_mut().zip(self.tally_of_call) {
            *sum += more;
        }
    }

    /// Counts a request that is born or moves.
    pub(super) fn count(&mut self, from: Option<&State>, to: &State) {
        if let Some(from) = from {
            self.tally_of_call[usize::from(rows::state_code(from))] -= 1;
        }
        self.tally_of_call[usize::from(rows::state_code(to))] += 1;
    }

    pub(super) fn write_tallies(&mut self) -> rusqlite::Result<()> {
        const ADD: &str = "UPDATE tallies SET requests = requests + ?2 WHERE state = ?1";
        for (state, more) in (0_u8..).zip(self.tally).filter(|(_, more)| *more != 0) {
            self.connection.prepare_cached(ADD)?.execute(params![state, more])?;
        }
        Ok(())
    }

    pub(super) fn statement(&self, sql: &str) -> Result<CachedStatement<'c>> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    /// Now, as stored.
    pub(super) fn at(&self) -> i64 {
        self.now.as_millisecond()
    }

    /// What the rules need to know besides the state and the event.
    pub(super) fn circumstances(&self, row: &Row, outdated: bool) -> Result<Circumstances> {
        const LATER: &str = "SELECT 1 FROM requests WHERE sync_request = ?1 AND seq > ?2 LIMIT 1";
        let corrected = match &row.sync_request {
            Some(sync_request) => {
                self.statement(LATER)?.exists(params![sync_request.as_str(), row.seq])?
            }
            None => false,
        };
        Ok(Circumstances {
            now: self.now,
            retry: self.context.rules.retry,
            attempted: row.attempted,
            told: row.told,
            corrected,
            outdated,
        })
    }

    pub(super) fn load(&self, seq: i64) -> Result<Row> {
        const BY_SEQ: &str =
            concat!("SELECT ", row_columns!(), " FROM requests r WHERE r.seq = ?1");
        self.one(BY_SEQ, [seq])?.ok_or_else(|| gone("requests", seq))
    }

    pub(super) fn find(&self, id: RequestId) -> Result<Option<Row>> {
        const BY_ID: &str = concat!("SELECT ", row_columns!(), " FROM requests r WHERE r.id = ?1");
        self.one(BY_ID, [id.as_uuid().as_bytes()])
    }

    /// The newest request of a sync request; of those that were handed over, or of all.
    pub(super) fn newest_attempted(&self, sync: &SyncRequestId) -> Result<Option<Row>> {
        const NEWEST: &str = concat!(
            "SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.sync_request = ?1 AND r.attempted = 1
            ORDER BY r.seq DESC LIMIT 1"
        );
        self.one(NEWEST, [sync.as_str()])
    }

    pub(super) fn newest(&self, sync: &SyncRequestId) -> Result<Option<Row>> {
        const NEWEST: &str = concat!(
            "SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.sync_request = ?1 ORDER BY r.seq DESC LIMIT 1"
        );
        self.one(NEWEST, [sync.as_str()])
    }

    fn one(&self, sql: &str, params: impl rusqlite::Params) -> Result<Option<Row>> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(Row::read).transpose()
    }

    /// Writes what of a request can change.
    pub(super) fn save(&self, row: &Row) -> Result<()> {
        const SAVE: &str = "UPDATE requests SET state = ?2, tries = ?3, date_ms = ?4, \
             superseded_by = ?5, place = ?6, kind = ?7, edition = ?8, outgoing = ?9, mapping = ?10, \
             error = ?11, told = ?12, replies = ?13, changed_at_ms = ?14 WHERE seq = ?1";
        let state = rows::state_columns(&row.state);
        self.statement(SAVE)?.execute(params![
            row.seq,
            state.code,
            state.tries,
            state.date,
            state.by.as_ref().map(uuid::Uuid::as_bytes),
            row.place,
            row.kind.map(rows::kind_code),
            row.edition,
            row.outgoing,
            row.mapping,
            row.error,
            row.told.map(rows::sign_code),
            row.replies,
            self.at(),
        ])?;
        Ok(())
    }

    /// Adds a line to the timeline of a request.
    pub(super) fn note_line(
        &self,
        request: i64,
        entry: &Entry,
        state: Option<&State>,
    ) -> Result<()> {
        // Not INSERT .. SELECT: that may write many rows, so SQLite copies every page that it
        // touches in order to undo the one statement.
        const ADD: &str = "INSERT INTO journal (request, line, at_ms, kind, detail, state) \
             VALUES (?1, coalesce((SELECT max(line) FROM journal WHERE request = ?1), 0) + 1, \
             ?2, ?3, ?4, ?5)";
        self.statement(ADD)?.execute(params![
            request,
            self.at(),
            entry.kind,
            entry.detail,
            state.map(rows::state_code)
        ])?;
        Ok(())
    }

    pub(super) fn keep_bytes(&self, body: &[u8]) -> Result<i64> {
        const ADD: &str = "INSERT INTO payloads (body) VALUES (?1)";
        Ok(self.statement(ADD)?.insert([body])?)
    }

    pub(super) fn keep_arrival(&self, arrival: &Arrival) -> Result<i64> {
        const ADD: &str = "INSERT INTO payloads (properties, body) VALUES (?1, ?2)";
        let properties = rows::json(&arrival.properties)?;
        Ok(self.statement(ADD)?.insert(params![properties, arrival.payload])?)
    }
}

/// A row that another row refers to is not there.
pub(super) fn gone(table: &'static str, row: i64) -> StoreError {
    StoreError::Inconsistent { table, row: row.to_string(), why: "it is not there".to_owned() }
}
