//! Who the store is and how far it is: what the fence on the broker is compared with.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::rows::{self, Result};
use super::work::Work;
use crate::bridge::ports::Operator;
use crate::domain::{Entry, Fence, Mark, StoreId};

const MARK: &str = "SELECT store, epoch, accepted, \
     (SELECT value FROM counters WHERE name = 'line'), \
     (SELECT value FROM counters WHERE name = 'place') FROM identity";

/// Reads what is committed, and so durable.
pub(super) fn mark(connection: &Connection) -> Result<Mark> {
    let mut statement = connection.prepare_cached(MARK)?;
    let mut found = statement.query([])?;
    let row = found.next()?.ok_or_else(|| super::work::gone("identity", 1))?;
    let accepted: Option<[u8; 16]> = row.get(2)?;
    Ok(Mark {
        store: StoreId::from_uuid(rows::uuid(row, 0)?),
        epoch: row.get(1)?,
        accepted: accepted.map(|bytes| StoreId::from_uuid(Uuid::from_bytes(bytes))),
        line: row.get(3)?,
        place: row.get(4)?,
    })
}

/// When the last line was written. Reads all of them.
pub(super) fn written_until(connection: &Connection) -> Result<Option<Timestamp>> {
    let last: Option<i64> =
        connection.query_row("SELECT max(at_ms) FROM timeline", [], |row| row.get(0))?;
    Ok(last.and_then(|at| Timestamp::from_millisecond(at).ok()))
}

impl Work<'_> {
    pub(super) fn accept(&self, operator: &Operator, fence: &Fence) -> Result<Mark> {
        const RAISE: &str = "UPDATE identity SET epoch = ?1, accepted = ?2";
        let before = mark(self.connection)?;
        let epoch = before.epoch_above(fence);
        self.statement(RAISE)?.execute(params![epoch, fence.store.as_uuid().as_bytes()])?;
        let Operator { name, reason } = operator;
        let detail = format!(
            "by {name}: {reason}; epoch {epoch} instead of {}; the fence had store {} epoch {} \
             line {} place {} of {}, this store line {} place {}",
            before.epoch,
            fence.store,
            fence.epoch,
            fence.line,
            fence.place,
            fence.at,
            before.line,
            before.place,
        );
        self.note_line(0, &Entry::new("accepted", detail), None)?;
        mark(self.connection)
    }
}
