//! The writer at work: one transaction after the other, and the rows that it reads and writes,
//! whatever moves them.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, params};

use super::leases::Leases;
use super::payload::{Packer, Unpacker};
use super::rows::{self, Result, Row, row_columns};
use crate::bridge::ports::{Clock, ReplyWriter, Rules};
use crate::bridge::{Arrival, StoreError};
use crate::domain::{
    Circumstances, Entry, Event, RequestId, ServicePointId, State, Step, SyncRequestId, Tell,
};

/// What every transaction needs to know.
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    pub(super) replies: Arc<dyn ReplyWriter>,
}

/// The writer at work. One call of the port after the other runs in the transaction of the moment.
pub(super) struct Work<'c> {
    pub(super) connection: &'c Connection,
    pub(super) context: &'c Context,
    pub(super) now: Timestamp,
    /// The requests that ceased to be under way: those behind them are due their turn.
    pub(super) freed: Vec<Freed>,
    pub(super) leases: RefCell<Leases>,
    packer: RefCell<Packer>,
    pub(super) unpacker: RefCell<Unpacker>,
    /// How many requests more or fewer stand in each state since the transaction began.
    tally: [i64; rows::STATES.len()],
    requests: Counter,
    replies: Counter,
    places: Counter,
    /// The request whose timeline was written to last, and its last line.
    last_line: Cell<Option<(i64, i64)>>,
}

/// The last number that was given in the transaction of the moment; read when first asked for.
#[derive(Default)]
struct Counter(Cell<Option<i64>>);

impl Counter {
    fn next(&self, last: impl FnOnce() -> Result<i64>) -> Result<i64> {
        let next = self.0.get().map_or_else(last, Ok)? + 1;
        self.0.set(Some(next));
        Ok(next)
    }
}

/// The service point and sync request of a request that ceased to be under way.
pub(super) struct Freed {
    pub(super) service_point: Option<ServicePointId>,
    pub(super) sync_request: Option<SyncRequestId>,
}

impl<'c> Work<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        context: &'c Context,
        leases: Leases,
        packer: Packer,
    ) -> Self {
        Self {
            connection,
            context,
            now: context.clock.now(),
            freed: Vec::new(),
            leases: RefCell::new(leases),
            packer: RefCell::new(packer),
            unpacker: RefCell::default(),
            tally: [0; rows::STATES.len()],
            requests: Counter::default(),
            replies: Counter::default(),
            places: Counter::default(),
            last_line: Cell::default(),
        }
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.tally = [0; rows::STATES.len()];
        self.last_line.take();
        for counter in [&self.requests, &self.replies, &self.places] {
            counter.0.set(None);
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    /// Begins a call.
    pub(super) fn begin_call(&mut self) {
        self.now = self.context.clock.now();
        self.freed.clear();
    }

    /// Commits the transaction. What it did is on the disk then.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        const PLACE: &str = "UPDATE counters SET value = ?1 WHERE name = 'place'";
        const ADD: &str = "UPDATE tallies SET requests = requests + ?2 WHERE state = ?1";
        if let Some(place) = self.places.0.get() {
            self.connection.prepare_cached(PLACE)?.execute([place])?;
        }
        for (state, more) in (0_u8..).zip(self.tally).filter(|(_, more)| *more != 0) {
            self.connection.prepare_cached(ADD)?.execute(params![state, more])?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.leases.get_mut().keep();
        Ok(())
    }

    /// Undoes the transaction, as far as it came: a full disk may have undone it already.
    pub(super) fn undo(&mut self) {
        if !self.connection.is_autocommit() {
            // Whatever stands half done must not reach the next transaction.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        self.leases.get_mut().undo();
    }

    /// Counts a request that is born or moves.
    pub(super) fn count(&mut self, from: Option<&State>, to: &State) {
        if let Some(from) = from {
            self.tally[usize::from(rows::state_code(from))] -= 1;
        }
        self.tally[usize::from(rows::state_code(to))] += 1;
    }

    /// The number of the next request, whose timeline begins.
    pub(super) fn next_request(&self) -> Result<i64> {
        const LAST: &str = "SELECT coalesce(max(seq), 0) FROM requests";
        let next = self.requests.next(|| self.last(LAST))?;
        self.last_line.set(Some((next, 0)));
        Ok(next)
    }

    /// The number of the next reply.
    pub(super) fn next_reply(&self) -> Result<i64> {
        self.replies.next(|| self.last("SELECT coalesce(max(seq), 0) FROM replies"))
    }

    /// The next place of the outbox. None is given twice: a handover is known by its place.
    pub(super) fn next_place(&self) -> Result<i64> {
        self.places.next(|| self.last("SELECT value FROM counters WHERE name = 'place'"))
    }

    fn last(&self, sql: &str) -> Result<i64> {
        Ok(self.statement(sql)?.query_row([], |row| row.get(0))?)
    }

    pub(super) fn statement(&self, sql: &str) -> Result<CachedStatement<'c>> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    /// Now, as stored.
    pub(super) fn at(&self) -> i64 {
        self.now.as_millisecond()
    }

    /// What an event comes to, and the circumstances that decided it. Whether billing has corrected
    /// the request is looked up only where billing would be told: it silences, and no more.
    pub(super) fn step(
        &self,
        row: &Row,
        event: &Event,
        outdated: bool,
    ) -> Result<(Step, Circumstances)> {
        let mut around = Circumstances {
            now: self.now,
            retry: self.context.rules.retry,
            attempted: self.was_attempted(row),
            told: row.told,
            corrected: false,
            outdated,
        };
        let step = row.state.on(event, &around);
        match step {
            Step::Moved { tell: Tell::Billing, .. }
            | Step::Moved { to: State::Pending { .. }, .. } => {
                around.corrected = self.is_corrected(row)?;
                Ok((row.state.on(event, &around), around))
            }
            Step::Moved { .. } | Step::Repeated | Step::Ignored(_) | Step::Refused(_) => {
                Ok((step, around))
            }
        }
    }

    fn is_corrected(&self, row: &Row) -> Result<bool> {
        const LATER: &str = "SELECT 1 FROM requests WHERE sync_request = ?1 AND seq > ?2 LIMIT 1";
        match &row.sync_request {
            Some(sync_request) => {
                Ok(self.statement(LATER)?.exists(params![sync_request.as_str(), row.seq])?)
            }
            None => Ok(false),
        }
    }

    /// Whether a request may ever have been handed to the broker. It is written down when it leaves
    /// the outbox; while it is there, the leases tell.
    pub(super) fn was_attempted(&self, row: &Row) -> bool {
        let leases = self.leases.borrow();
        row.attempted || row.place.is_some_and(|place| leases.may_have_been_out(place))
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
        const ALL: &str = concat!(
            "SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.sync_request = ?1 ORDER BY r.seq DESC"
        );
        let mut statement = self.statement(ALL)?;
        let mut rows = statement.query([sync.as_str()])?;
        while let Some(row) = rows.next()? {
            let row = Row::read(row)?;
            if self.was_attempted(&row) {
                return Ok(Some(row));
            }
        }
        Ok(None)
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
             error = ?11, told = ?12, replies = ?13, changed_at_ms = ?14, attempted = ?15 \
             WHERE seq = ?1";
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
            row.attempted,
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
        const LAST: &str = "SELECT coalesce(max(line), 0) FROM journal WHERE request = ?1";
        const ADD: &str = "INSERT INTO journal (request, line, at_ms, kind, detail, state) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let last: i64 = match self.last_line.get() {
            Some((written_last, last)) if written_last == request => last,
            _ => self.statement(LAST)?.query_row([request], |row| row.get(0))?,
        };
        self.last_line.set(Some((request, last + 1)));
        self.statement(ADD)?.execute(params![
            request,
            last + 1,
            self.at(),
            entry.kind,
            entry.detail,
            state.map(rows::state_code)
        ])?;
        Ok(())
    }

    /// Keeps what was made of a message once more, after its mapping was mended.
    pub(super) fn keep_made(&self, made: &[u8]) -> Result<i64> {
        const ADD: &str = "INSERT INTO payloads (made_at, form, body) VALUES (0, ?1, ?2)";
        let kept = self.packer.borrow_mut().pack(made)?;
        Ok(self.statement(ADD)?.insert(params![kept.form, &*kept.body])?)
    }

    pub(super) fn keep_bytes(&self, body: &[u8]) -> Result<i64> {
        const ADD: &str = "INSERT INTO payloads (form, body) VALUES (?1, ?2)";
        let kept = self.packer.borrow_mut().pack(body)?;
        Ok(self.statement(ADD)?.insert(params![kept.form, &*kept.body])?)
    }

    /// Keeps a message as it came, and what was made of it.
    pub(super) fn keep_arrival(&self, arrival: &Arrival, made: Option<&[u8]>) -> Result<i64> {
        const ADD: &str =
            "INSERT INTO payloads (properties, made_at, form, body) VALUES (?1, ?2, ?3, ?4)";
        let properties = rows::json(&arrival.properties)?;
        let whole = match made {
            Some(made) => Cow::Owned([&arrival.payload[..], made].concat()),
            None => Cow::Borrowed(&arrival.payload[..]),
        };
        let kept = self.packer.borrow_mut().pack(&whole)?;
        let made_at = made.map(|_| u32::try_from(arrival.payload.len()).unwrap_or(u32::MAX));
        let columns = params![properties, made_at, kept.form, &*kept.body];
        Ok(self.statement(ADD)?.insert(columns)?)
    }
}

/// A row that another row refers to is not there.
pub(super) fn gone(table: &'static str, row: i64) -> StoreError {
    StoreError::Inconsistent { table, row: row.to_string(), why: "it is not there".to_owned() }
}
