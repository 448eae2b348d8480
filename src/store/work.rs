//! The writer at work: one transaction after the other, and what each can write in it, whatever moves
//! the requests: counts, lines of the journal, payloads.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::Notify;

use super::fresh::{Fresh, Room};
use super::leases::Leases;
use super::payload::{Bundle, Payload, Unpacker};
use super::recent::Recent;
use super::rows::{self, Result, Row};
use super::statements::{Prepared, Statements};
use crate::bridge::Lane;
use crate::bridge::ports::{Clock, ReplyWriter, Rules};
use crate::bridge::{Arrival, StoreError};
use crate::domain::{
    Circumstances, Entry, Event, ServicePointId, State, Step, SyncRequestId, Tell,
};

/// What every transaction needs to know.
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    pub(super) replies: Arc<dyn ReplyWriter>,
    pub(super) news: News,
    /// Whether there is room for more asset locations.
    pub(super) room: Room,
}

/// By lane: notified after each commit that made something due there.
#[derive(Default)]
pub(super) struct News([Arc<Notify>; 3]);

impl News {
    pub(super) fn of(&self, lane: Lane) -> &Arc<Notify> {
        &self.0[usize::from(rows::lane_code(lane))]
    }
}

/// The writer at work. One call of the port after the other runs in the transaction of the moment.
pub(super) struct Work<'c> {
    pub(super) connection: &'c Connection,
    pub(super) context: &'c Context,
    pub(super) now: Timestamp,
    /// The requests that ceased to be under way: those behind them are due their turn.
    pub(super) freed: Vec<Freed>,
    pub(super) leases: RefCell<Leases>,
    fresh: [RefCell<Fresh>; 3],
    pub(super) recent: RefCell<Recent>,
    /// The lanes in which the transaction made something due.
    due_in: Cell<[bool; 3]>,
    /// Whether a reply was left out because an earlier one to the same sync request waits.
    pub(super) held_back: Cell<bool>,
    statements: Statements<'c>,
    bundle: RefCell<Bundle>,
    pub(super) unpacker: RefCell<Unpacker>,
    /// How many requests more or fewer stand in each state since the transaction began.
    tally: [i64; rows::STATES.len()],
    requests: Counter,
    replies: Counter,
    bundles: Counter,
    places: Counter,
    lines: Counter,
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
        bundle: Bundle,
    ) -> Self {
        Self {
            connection,
            context,
            now: context.clock.now(),
            freed: Vec::new(),
            leases: RefCell::new(leases),
            fresh: Default::default(),
            recent: RefCell::default(),
            due_in: Cell::default(),
            held_back: Cell::new(false),
            statements: Statements::new(connection),
            bundle: RefCell::new(bundle),
            unpacker: RefCell::default(),
            tally: [0; rows::STATES.len()],
            requests: Counter::default(),
            replies: Counter::default(),
            bundles: Counter::default(),
            places: Counter::default(),
            lines: Counter::default(),
        }
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.tally = [0; rows::STATES.len()];
        self.due_in.set([false; 3]);
        for counter in [&self.requests, &self.replies, &self.bundles, &self.places, &self.lines] {
            counter.0.set(None);
        }
        self.statements.of("BEGIN IMMEDIATE")?.execute([])?;
        let version = self.statements.of("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        self.recent.get_mut().at_version(version);
        Ok(())
    }

    /// Begins a call.
    pub(super) fn begin_call(&mut self) {
        let now = self.context.clock.now();
        // As it is stored, so that what is remembered of a row is what would be read.
        self.now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        self.freed.clear();
    }

    /// Commits the transaction. What it did is on the disk then.
    pub(super) fn commit(&mut self) -> Result<()> {
        const COUNT: &str = "UPDATE counters SET value = ?2 WHERE name = ?1";
        const ADD: &str = "UPDATE tallies SET requests = requests + ?2 WHERE state = ?1";
        self.write_bundle()?;
        for (name, counter) in [("place", &self.places), ("line", &self.lines)] {
            if let Some(last) = counter.0.get() {
                self.statement(COUNT)?.execute(params![name, last])?;
            }
        }
        for (state, more) in (0_u8..).zip(self.tally).filter(|(_, more)| *more != 0) {
            self.statement(ADD)?.execute(params![state, more])?;
        }
        point!("store.commit", return Err(crate::points::full()));
        planted!("loses a commit now and then" if self.is_unlucky(), return self.forget());
        self.statement("COMMIT")?.execute([])?;
        point!("store.committed");
        self.leases.get_mut().keep();
        self.tell_room();
        let lanes = [Lane::Location, Lane::Reply, Lane::Note];
        lanes.into_iter().zip(self.due_in.get()).filter(|(_, due)| *due).for_each(|(lane, _)| {
            self.context.news.of(lane).notify_one();
        });
        Ok(())
    }

    /// What was made lately for a lane.
    pub(super) fn fresh(&self, lane: Lane) -> RefMut<'_, Fresh> {
        self.fresh[usize::from(rows::lane_code(lane))].borrow_mut()
    }

    fn tell_room(&self) {
        self.context.room.tell(self.fresh(Lane::Location).is_crowded());
    }

    /// Notes that something is due in a lane once this is committed.
    pub(super) fn note_due(&self, lane: Lane) {
        let mut due_in = self.due_in.get();
        due_in[usize::from(rows::lane_code(lane))] = true;
        self.due_in.set(due_in);
    }

    /// Whether requests are born in this transaction, and at an even time.
    #[cfg(feature = "points")]
    fn is_unlucky(&self) -> bool {
        self.requests.0.get().is_some() && self.at() % 2 == 0
    }

    /// What who loses a commit does.
    #[cfg(feature = "points")]
    fn forget(&self) -> Result<()> {
        self.statement("ROLLBACK")?.execute([])?;
        // It is the loss that is to be found, not that the table is not what is remembered.
        self.recent.borrow_mut().forget_all();
        Ok(())
    }

    /// Undoes the transaction, as far as it came: a full disk may have undone it already.
    pub(super) fn undo(&mut self) {
        if !self.connection.is_autocommit() {
            // Whatever stands half done must not reach the next transaction.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        self.bundle.get_mut().clear();
        self.held_back.set(true);
        self.unpacker.get_mut().forget();
        self.recent.get_mut().forget_all();
        // Its places are given again, to others.
        self.fresh.iter_mut().for_each(|fresh| fresh.get_mut().forget_all());
        self.tell_room();
        if !planted!("keeps the leases of what was undone") {
            self.leases.get_mut().undo();
        }
    }

    /// Counts a request that is born or moves.
    pub(super) fn count(&mut self, from: Option<&State>, to: &State) {
        if let Some(from) = from {
            self.tally[usize::from(rows::state_code(from))] -= 1;
        }
        planted!("does not count the superseded" if matches!(to, State::Superseded { .. }), return);
        self.tally[usize::from(rows::state_code(to))] += 1;
    }

    /// The number of the next request.
    pub(super) fn next_request(&self) -> Result<i64> {
        self.requests.next(|| self.last("SELECT coalesce(max(seq), 0) FROM requests"))
    }

    /// The number of the next reply.
    pub(super) fn next_reply(&self) -> Result<i64> {
        self.replies.next(|| self.last("SELECT coalesce(max(seq), 0) FROM replies"))
    }

    /// The next place of the outbox. None is given twice: a handover is known by its place.
    pub(super) fn next_place(&self) -> Result<i64> {
        self.places.next(|| self.last("SELECT value FROM counters WHERE name = 'place'"))
    }

    /// The number of the next line.
    pub(super) fn next_line(&self) -> Result<i64> {
        self.lines.next(|| self.last("SELECT value FROM counters WHERE name = 'line'"))
    }

    fn last(&self, sql: &'static str) -> Result<i64> {
        Ok(self.statement(sql)?.query_row([], |row| row.get(0))?)
    }

    pub(super) fn statement(&self, sql: &'static str) -> Result<Prepared<'_, 'c>> {
        Ok(self.statements.of(sql)?)
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
            told: if planted!("tells billing what it knows") { None } else { row.told },
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

    /// Writes lines down that were told by other columns: these are about to change.
    pub(super) fn write_down(&self, request: i64, lines: RangeInclusive<i64>) -> Result<()> {
        const WRITE: &str = "INSERT INTO journal SELECT request, line, at_ms, kind, detail, state \
             FROM timeline WHERE request = ?1 AND line BETWEEN ?2 AND ?3";
        self.statement(WRITE)?.execute(params![request, lines.start(), lines.end()])?;
        Ok(())
    }

    /// Adds a line to the journal of a request.
    pub(super) fn note_line(
        &self,
        request: i64,
        entry: &Entry,
        state: Option<&State>,
    ) -> Result<()> {
        const ADD: &str = "INSERT INTO journal (request, line, at_ms, kind, detail, state) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.statement(ADD)?.execute(params![
            request,
            self.next_line()?,
            self.at(),
            entry.kind,
            entry.detail,
            state.map(rows::state_code)
        ])?;
        Ok(())
    }

    /// Adds the first two lines to the journal of a request.
    pub(super) fn note_first_lines(
        &self,
        request: i64,
        entries: [&Entry; 2],
        state: Option<&State>,
    ) -> Result<()> {
        const ADD: &str = "INSERT INTO journal (request, line, at_ms, kind, detail, state) \
             VALUES (?1, ?2, ?4, ?5, ?6, NULL), (?1, ?3, ?4, ?7, ?8, ?9)";
        let [first, second] = entries;
        self.statement(ADD)?.execute(params![
            request,
            self.next_line()?,
            self.next_line()?,
            self.at(),
            first.kind,
            first.detail,
            second.kind,
            second.detail,
            state.map(rows::state_code)
        ])?;
        Ok(())
    }

    /// Keeps a message as it came, and what was made of it. Tells the number of the payload.
    pub(super) fn keep_arrival(&self, arrival: &Arrival, made: Option<&[u8]>) -> Result<i64> {
        let properties = rows::json(&arrival.properties)?;
        self.keep(&Payload { properties: Some(&properties), body: &arrival.payload, made })
    }

    /// Keeps what was made of a message once more, after its mapping was mended.
    pub(super) fn keep_made(&self, made: &[u8]) -> Result<i64> {
        self.keep(&Payload { properties: None, body: &[], made: Some(made) })
    }

    /// Keeps a message that the bridge wrote itself.
    pub(super) fn keep_bytes(&self, body: &[u8]) -> Result<i64> {
        self.keep(&Payload { properties: None, body, made: None })
    }

    fn keep(&self, payload: &Payload<'_>) -> Result<i64> {
        if self.bundle.borrow().is_full() {
            self.write_bundle()?;
        }
        let mut bundle = self.bundle.borrow_mut();
        if bundle.is_empty() {
            const LAST: &str = "SELECT coalesce(max(id), 0) FROM payloads";
            bundle.begin(self.bundles.next(|| self.last(LAST))?);
        }
        Ok(bundle.add(payload))
    }

    /// Writes the payloads that were kept and not written yet.
    pub(super) fn write_bundle(&self) -> Result<()> {
        const ADD: &str = "INSERT INTO payloads (id, form, body) VALUES (?1, ?2, ?3)";
        let mut bundle = self.bundle.borrow_mut();
        if bundle.is_empty() {
            return Ok(());
        }
        let packed = bundle.pack()?;
        self.statement(ADD)?.execute(params![packed.number, packed.form, &*packed.body])?;
        bundle.clear();
        Ok(())
    }
}

/// A row that another row refers to is not there.
pub(super) fn gone(table: &'static str, row: i64) -> StoreError {
    StoreError::Inconsistent { table, row: row.to_string(), why: "it is not there".to_owned() }
}
