//! The table of requests: rows read and written, whatever moves them.

use rusqlite::params;

use super::rows::{self, Result, Row, row_columns};
use super::work::{Work, gone};
use crate::domain::{RequestId, State, SyncRequestId};

/// The columns of a request that change, from the parameters of [`Work::save_by`].
macro_rules! changing {
    () => {
        "state = ?2, tries = ?3, date_ms = ?4, superseded_by = ?5, place = ?6, kind = ?7, \
         edition = ?8, outgoing = ?9, mapping = ?10, error = ?11, told = ?12, replies = ?13, \
         changed_at_ms = ?14, attempted = ?15, confirmed_line = ?16, confirmed_at_ms = ?17"
    };
}

impl Work<'_> {
    /// Whether a request may ever have been handed to the broker. It is written down when it leaves
    /// the outbox; while it is there, the leases tell.
    pub(super) fn was_attempted(&self, row: &Row) -> bool {
        let leases = self.leases.borrow();
        row.attempted || row.place.is_some_and(|place| leases.may_have_been_out(place))
    }

    /// Remembers a row as it was written, for the next step of its request.
    pub(super) fn remember(&self, row: Row) {
        self.recent.borrow_mut().remember(row);
    }

    /// Forgets what is remembered of a row: it is written by other means than that.
    pub(super) fn forget_row(&self, seq: i64) {
        self.recent.borrow_mut().take(seq);
    }

    pub(super) fn load(&self, seq: i64) -> Result<Row> {
        const BY_SEQ: &str =
            concat!("SELECT ", row_columns!(), " FROM requests r WHERE r.seq = ?1");
        if let Some(row) = self.recent.borrow_mut().take(seq) {
            debug_assert_eq!(self.one(BY_SEQ, [seq])?.as_ref(), Some(&row));
            return Ok(row);
        }
        self.one(BY_SEQ, [seq])?.ok_or_else(|| gone("requests", seq))
    }

    pub(super) fn find(&self, id: RequestId) -> Result<Option<Row>> {
        const BY_ID: &str = concat!("SELECT ", row_columns!(), " FROM requests r WHERE r.id = ?1");
        if let Some(row) = self.recent.borrow_mut().take_by_id(id) {
            debug_assert_eq!(self.one(BY_ID, [id.as_uuid().as_bytes()])?.as_ref(), Some(&row));
            return Ok(Some(row));
        }
        self.one(BY_ID, [id.as_uuid().as_bytes()])
    }

    /// The request that an answer is about which names a sync request only: the newest of those that
    /// were handed over. One that the broker confirmed and whose answer is missing goes before one
    /// whose handover is in doubt: it was surely asked.
    pub(super) fn newest_attempted(&self, sync: &SyncRequestId) -> Result<Option<Row>> {
        const ALL: &str = concat!(
            "SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.sync_request = ?1 ORDER BY r.seq DESC"
        );
        let mut statement = self.statement(ALL)?;
        let mut rows = statement.query([sync.as_str()])?;
        let mut newest = None;
        while let Some(row) = rows.next()? {
            let row = Row::read(row)?;
            match row.state {
                State::Published { .. } | State::Overdue => return Ok(Some(row)),
                _ if newest.is_some() || !self.was_attempted(&row) => {}
                State::Pending { .. } => newest = Some(row),
                _ => return Ok(Some(row)),
            }
        }
        Ok(newest)
    }

    pub(super) fn newest(&self, sync: &SyncRequestId) -> Result<Option<Row>> {
        const NEWEST: &str = concat!(
            "SELECT ",
            row_columns!(),
            " FROM requests r WHERE r.sync_request = ?1 ORDER BY r.seq DESC LIMIT 1"
        );
        self.one(NEWEST, [sync.as_str()])
    }

    fn one(&self, sql: &'static str, params: impl rusqlite::Params) -> Result<Option<Row>> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(Row::read).transpose()
    }

    /// Writes what of a request can change, but for whether it is live.
    pub(super) fn save(&self, row: &Row) -> Result<()> {
        const SAVE: &str = concat!("UPDATE requests SET ", changing!(), " WHERE seq = ?1");
        self.save_by(SAVE, row)
    }

    /// Writes what of a request can change, and whether it is live.
    pub(super) fn save_with_live(&self, row: &Row) -> Result<()> {
        const SAVE: &str =
            concat!("UPDATE requests SET ", changing!(), ", live = ?2 < 4 WHERE seq = ?1");
        self.save_by(SAVE, row)
    }

    fn save_by(&self, sql: &'static str, row: &Row) -> Result<()> {
        self.forget_row(row.seq);
        let state = rows::state_columns(&row.state);
        self.statement(sql)?.execute(params![
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
            row.confirmed_line,
            row.confirmed_at_ms,
        ])?;
        Ok(())
    }
}
