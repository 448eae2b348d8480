//! Error records: one for each thing that failed; it counts its failures and puts a note into the
//! outbox whenever it opens.

use rusqlite::{OptionalExtension as _, params};

use super::rows::{self, Result};
use super::work::Work;
use crate::bridge::Lane;
use crate::bridge::ports::Operator;
use crate::domain::{ErrorStatus, Failure, FailureGroup};

/// What a record is about, as the store counts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject {
    Request { seq: i64 },
    Answer { seq: i64 },
    Reply { seq: i64 },
}

impl Subject {
    pub(super) fn columns(self) -> (u8, i64) {
        match self {
            Self::Request { seq } => (0, seq),
            Self::Answer { seq } => (1, seq),
            Self::Reply { seq } => (2, seq),
        }
    }
}

impl Work<'_> {
    /// Opens the record of a thing that failed, or opens the one it has again, and puts a note
    /// into the outbox. Returns its id.
    pub(super) fn open_error(
        &self,
        subject: Subject,
        request: Option<i64>,
        failure: &Failure,
    ) -> Result<i64> {
        const OPEN: &str = "INSERT INTO errors (about, subject, request, status, code, rule, \
             detail, defects, failures, notes, first_at_ms, last_at_ms) \
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, 1, 1, ?8, ?8) \
             ON CONFLICT (about, subject) DO UPDATE SET status = 0, request = excluded.request, \
             code = excluded.code, rule = excluded.rule, detail = excluded.detail, \
             defects = excluded.defects, failures = failures + 1, notes = notes + 1, \
             last_at_ms = excluded.last_at_ms \
             RETURNING id, notes";
        let (about, seq) = subject.columns();
        let group = FailureGroup::of(failure);
        let defects = rows::defects_json(failure)?;
        let mut statement = self.statement(OPEN)?;
        let (error, number) = statement.query_row(
            params![
                about,
                seq,
                request,
                failure.code.as_str(),
                group.rule,
                failure.detail,
                defects,
                self.at()
            ],
            |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)),
        )?;
        self.put(Lane::Note, error, numbered(number), self.at())?;
        Ok(error)
    }

    /// Changes where a record stands. Opening it again puts a note into the outbox.
    pub(super) fn set_error(
        &self,
        error: i64,
        status: ErrorStatus,
        operator: Option<&Operator>,
    ) -> Result<()> {
        const SET: &str = "UPDATE errors SET status = ?2, by_name = coalesce(?3, by_name), \
             by_reason = coalesce(?4, by_reason) WHERE id = ?1";
        planted!("leaves records open" if status == ErrorStatus::Resolved, return Ok(()));
        self.statement(SET)?.execute(params![
            error,
            rows::status_code(status),
            operator.map(|operator| &operator.name),
            operator.map(|operator| &operator.reason)
        ])?;
        match status {
            ErrorStatus::Open => self.note_again(error),
            ErrorStatus::Retrying | ErrorStatus::Resolved | ErrorStatus::Discarded => Ok(()),
        }
    }

    fn note_again(&self, error: i64) -> Result<()> {
        const COUNT: &str = "UPDATE errors SET notes = notes + 1 WHERE id = ?1 RETURNING notes";
        let number = self.statement(COUNT)?.query_row([error], |row| row.get(0))?;
        self.put(Lane::Note, error, numbered(number), self.at())?;
        Ok(())
    }

    /// Counts a failure of the same kind that changed nothing.
    pub(super) fn count_failure(&self, error: i64) -> Result<()> {
        const COUNT: &str =
            "UPDATE errors SET failures = failures + 1, last_at_ms = ?2 WHERE id = ?1";
        self.statement(COUNT)?.execute(params![error, self.at()])?;
        Ok(())
    }

    /// The record of a thing and where it stands.
    pub(super) fn error_of(&self, subject: Subject) -> Result<Option<(i64, ErrorStatus)>> {
        const FIND: &str = "SELECT id, status FROM errors WHERE about = ?1 AND subject = ?2";
        let mut statement = self.statement(FIND)?;
        let mut found = statement.query(params![subject.columns().0, subject.columns().1])?;
        found.next()?.map(|row| Ok((row.get(0)?, rows::status(row, 1)?))).transpose()
    }

    pub(super) fn error_exists(&self, error: i64) -> Result<bool> {
        const EXISTS: &str = "SELECT 1 FROM errors WHERE id = ?1";
        Ok(self.statement(EXISTS)?.query_row([error], |_| Ok(())).optional()?.is_some())
    }
}

/// The number of a note or reply, as far as a message id can carry it.
fn numbered(count: i64) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
