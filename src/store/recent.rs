//! The rows of requests that took a step lately: most take the next one a moment later, and need not
//! be read again for that.
//!
//! A copy of what the table says, and no more. Who moves a request takes its row from here; a row that
//! is written is forgotten, and whoever has it in hand may put it back. When another process has
//! written to the store, or a transaction was undone, all are forgotten.

use std::collections::{BTreeMap, HashMap};

use super::rows::Row;
use crate::domain::RequestId;

/// How many are remembered: three megabytes of them, mostly. Of those that came first the next step is
/// the longest overdue.
const ROWS_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Recent {
    rows: BTreeMap<i64, Box<Row>>,
    numbers: HashMap<RequestId, i64>,
    version: i64,
}

impl Recent {
    /// The store is at this version of what others wrote
    /// (<https://www.sqlite.org/pragma.html#pragma_data_version>).
    pub(super) fn at_version(&mut self, version: i64) {
        if self.version != version {
            self.version = version;
            self.forget_all();
        }
    }

    /// Remembers a row that stands like this in the table.
    pub(super) fn remember(&mut self, row: Row) {
        self.numbers.insert(row.id, row.seq);
        self.rows.insert(row.seq, Box::new(row));
        if self.rows.len() > ROWS_MAX
            && let Some((_, first)) = self.rows.pop_first()
        {
            self.numbers.remove(&first.id);
        }
    }

    pub(super) fn take(&mut self, seq: i64) -> Option<Row> {
        let row = self.rows.remove(&seq)?;
        self.numbers.remove(&row.id);
        Some(*row)
    }

    pub(super) fn take_by_id(&mut self, id: RequestId) -> Option<Row> {
        let seq = *self.numbers.get(&id)?;
        self.take(seq)
    }

    pub(super) fn forget_all(&mut self) {
        self.rows.clear();
        self.numbers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Digest, Revision, State};

    fn row(seq: i64) -> Row {
        Row {
            seq,
            id: RequestId::derive(None, None, &Digest::of(&seq.to_be_bytes())),
            sync_request: None,
            service_point: None,
            revision: Revision { version: None, created_at: None },
            state: State::Parked,
            place: None,
            attempted: false,
            kind: None,
            edition: 0,
            received: 0,
            outgoing: None,
            mapping: None,
            error: None,
            told: None,
            replies: 0,
            reply_correlation: None,
            trace: None,
            born_line: None,
            confirmed_line: None,
            confirmed_at_ms: None,
        }
    }

    #[test]
    fn what_is_taken_is_gone_and_the_first_go_when_there_are_too_many() {
        let mut recent = Recent::default();
        let count = i64::try_from(ROWS_MAX).unwrap();
        (0..=count).for_each(|seq| recent.remember(row(seq)));
        assert_eq!(recent.take(0), None);
        assert_eq!(recent.take(1), Some(row(1)));
        assert_eq!(recent.take_by_id(row(1).id), None);
        assert_eq!(recent.take_by_id(row(2).id), Some(row(2)));
        assert_eq!(recent.take(2), None);
        assert_eq!((recent.rows.len(), recent.numbers.len()), (ROWS_MAX - 2, ROWS_MAX - 2));
    }
}
