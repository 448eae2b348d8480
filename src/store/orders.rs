//! `Store::order`: an operator's commands. The domain decides whether a thing takes a command; who
//! gave it and why is written to the record and to the journal.

use rusqlite::OptionalExtension as _;

use super::answers::Decided;
use super::replies::ReplyState;
use super::rows::{self, Result, Row};
use super::story::{self, With};
use super::work::Work;
use crate::bridge::ports::{Mended, Operator, Order, Ordered};
use crate::domain::{
    AnswerId, Command, ErrorStatus, Event, Failure, Place, Placing, Refused, Step,
};

/// An error record, as an order finds it.
struct Record {
    id: i64,
    about: u8,
    subject: i64,
    request: Option<i64>,
    status: ErrorStatus,
    failure: Failure,
}

impl Work<'_> {
    pub(super) fn order(&mut self, operator: &Operator, orders: &[Order]) -> Result<Vec<Ordered>> {
        orders.iter().map(|order| self.order_one(operator, order)).collect()
    }

    fn order_one(&mut self, operator: &Operator, order: &Order) -> Result<Ordered> {
        const ANSWER: u8 = 1;
        let Some(record) = self.record_of(order.error.0)? else { return Ok(Ordered::Unknown) };
        if record.about == 0 {
            return self.order_request(operator, &record, order);
        }
        let wanted = match order.command {
            Command::Retry | Command::Discard => ErrorStatus::Open,
            Command::Restore => ErrorStatus::Discarded,
        };
        if record.status != wanted {
            return Ok(Ordered::NotOpen(record.status));
        }
        match order.command {
            Command::Retry if record.about == ANSWER => {
                self.retry_answer(operator, &record, order.mended.as_ref())
            }
            Command::Retry => self.retry_reply(operator, &record),
            Command::Discard => self.mark(operator, &record, order.command, ErrorStatus::Discarded),
            Command::Restore => self.mark(operator, &record, order.command, ErrorStatus::Open),
        }
    }

    fn record_of(&self, error: i64) -> Result<Option<Record>> {
        const FIND: &str = "SELECT id, about, subject, request, status, code, detail, defects \
             FROM errors WHERE id = ?1";
        let mut statement = self.statement(FIND)?;
        let mut found = statement.query([error])?;
        let Some(row) = found.next()? else { return Ok(None) };
        Ok(Some(Record {
            id: row.get(0)?,
            about: row.get(1)?,
            subject: row.get(2)?,
            request: row.get(3)?,
            status: rows::status(row, 4)?,
            failure: rows::failure(row, 5)?,
        }))
    }

    fn order_request(
        &mut self,
        operator: &Operator,
        record: &Record,
        order: &Order,
    ) -> Result<Ordered> {
        let mut row = self.load(record.subject)?;
        let event = Event::Commanded(order.command);
        match self.step(&row, &event, false)?.0 {
            Step::Refused(Refused::Superseded { by }) => {
                return Ok(Ordered::Refused(Refused::Superseded { by }));
            }
            // The record says it better: it is open exactly while the request is parked.
            Step::Refused(Refused::NotParked | Refused::NotDiscarded) => {
                return Ok(Ordered::NotOpen(record.status));
            }
            Step::Moved { .. } | Step::Repeated | Step::Ignored(_) => {}
        }
        if order.command == Command::Retry
            && let Some(refused) = self.mend(&mut row, order.mended.as_ref(), record)?
        {
            return Ok(refused);
        }
        self.take(&mut row, &event, With::Operator(operator))?;
        point!("store.ordered", return Err(crate::points::full()));
        self.release()?;
        Ok(Ordered::Done)
    }

    /// Takes over the translation of today, unless the request must not be sent any more.
    fn mend(
        &self,
        row: &mut Row,
        mended: Option<&Mended>,
        record: &Record,
    ) -> Result<Option<Ordered>> {
        let Some(Mended::Request { translation, sync_request, service_point, revision }) = mended
        else {
            return Ok(Some(Ordered::StillFails(record.failure.clone())));
        };
        row.sync_request = Some(sync_request.clone());
        row.service_point = Some(service_point.clone());
        row.revision = rows::kept(revision);
        let placing = Placing::of(&row.revision, &self.neighbours(row)?);
        if let Place::TooLate { by } = placing.place {
            return Ok(Some(Ordered::Refused(Refused::Superseded { by })));
        }
        self.translate_again(row, translation)?;
        self.save_identity(row)?;
        Ok(None)
    }

    fn retry_answer(
        &mut self,
        operator: &Operator,
        record: &Record,
        mended: Option<&Mended>,
    ) -> Result<Ordered> {
        const ID: &str = "SELECT seq, id FROM answers WHERE seq = ?1";
        let Some(Mended::Answer(answer)) = mended else {
            return Ok(Ordered::StillFails(record.failure.clone()));
        };
        let id = self.statement(ID)?.query_row([record.subject], |row| Ok(rows::uuid(row, 1)));
        let Some(id) = id.optional()? else { return Ok(Ordered::Unknown) };
        let id = AnswerId::from_uuid(id?);
        match self.decide(id, answer)? {
            Decided::Moved(row, _) | Decided::Ignored(row, ..) => {
                self.match_answer(record.subject, &row, Some(answer))?;
                let record = Record { request: Some(row.seq), ..self.again(record)? };
                self.mark(operator, &record, Command::Retry, ErrorStatus::Resolved)
            }
            Decided::Fails(failure, _) => {
                self.fail_again(record.id, &failure)?;
                self.line_of(operator, record, Command::Retry)?;
                Ok(Ordered::StillFails(failure))
            }
        }
    }

    fn again(&self, record: &Record) -> Result<Record> {
        self.record_of(record.id)?.ok_or_else(|| super::work::gone("errors", record.id))
    }

    fn retry_reply(&mut self, operator: &Operator, record: &Record) -> Result<Ordered> {
        let reply = self.load_reply(record.subject)?;
        // Billing believes the last reply: an older one must not come after it.
        if let Some(by) = self.later_reply(&reply)? {
            return Ok(Ordered::Refused(Refused::Superseded { by }));
        }
        if reply.state == ReplyState::Parked {
            self.send_reply(reply)?;
        }
        self.mark(operator, record, Command::Retry, ErrorStatus::Retrying)
    }

    fn mark(
        &self,
        operator: &Operator,
        record: &Record,
        command: Command,
        status: ErrorStatus,
    ) -> Result<Ordered> {
        self.set_error(record.id, status, Some(operator))?;
        self.line_of(operator, record, command)?;
        Ok(Ordered::Done)
    }

    fn line_of(&self, operator: &Operator, record: &Record, command: Command) -> Result<()> {
        let mut entry = story::of_command(command, operator);
        let what = if record.about == 1 { "answer" } else { "reply" };
        entry.detail = format!("{what} of E-{} {}", record.id, entry.detail);
        self.note_line(record.request.unwrap_or(0), &entry, None)
    }

    /// A mended answer still fails: the record says how.
    fn fail_again(&self, error: i64, failure: &Failure) -> Result<()> {
        const FAIL: &str = "UPDATE errors SET failures = failures + 1, last_at_ms = ?2, \
             code = ?3, rule = NULL, detail = ?4, defects = NULL WHERE id = ?1 RETURNING id";
        let found: Option<i64> = self
            .statement(FAIL)?
            .query_row(
                rusqlite::params![error, self.at(), failure.code.as_str(), failure.detail],
                |row| row.get(0),
            )
            .optional()?;
        found.map(|_| ()).ok_or_else(|| super::work::gone("errors", error))
    }
}
