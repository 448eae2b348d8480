//! `Store::settle`: answers find their request and settle it, or go to the error queue.

use rusqlite::params;

use super::errors::Subject;
use super::rows::{self, Result, Row};
use super::story::With;
use super::work::Work;
use crate::bridge::ports::{NewAnswer, Settled};
use crate::domain::{
    Answer, AnswerId, AnswerReference, ErrorId, ErrorStatus, Event, Failure, FailureCode, Ignored,
    Step, SyncRequestId,
};

/// What comes of an answer that was read.
pub(super) enum Decided {
    Moved(Row, Option<Known>),
    Ignored(Row, Option<Known>, Ignored),
    Fails(Failure, Option<Row>),
}

/// An answer that overtook the confirm, as who does not expect one would take it.
#[cfg(feature = "points")]
fn early(row: Row) -> Decided {
    Decided::Fails(Failure::new(FailureCode::AnswerOrphaned, "not published yet"), Some(row))
}

/// What is said of an answer that was dropped.
#[cfg(feature = "points")]
fn dropped() -> Settled {
    Settled::ParkedBefore { error: ErrorId(0) }
}

/// A stored answer.
#[derive(Clone, Copy)]
pub(super) struct Known {
    seq: i64,
    request: Option<i64>,
}

impl Work<'_> {
    pub(super) fn settle(&mut self, batch: &[NewAnswer]) -> Result<Vec<Settled>> {
        batch.iter().map(|new| self.settle_one(new)).collect()
    }

    fn settle_one(&mut self, new: &NewAnswer) -> Result<Settled> {
        planted!("drops an answer it cannot read" if new.read.is_err(), return Ok(dropped()));
        let decided = match &new.read {
            Ok(answer) => self.decide(new.id, answer)?,
            Err(failure) => Decided::Fails(failure.clone(), None),
        };
        match decided {
            Decided::Moved(row, known) => {
                self.keep_settled(new, &row, known)?;
                let Row { id: request, state, sync_request, trace, .. } = row;
                Ok(Settled::Moved { request, state: state.as_str(), sync_request, trace })
            }
            Decided::Ignored(row, known, why) => {
                self.keep_settled(new, &row, known)?;
                Ok(Settled::Ignored { request: row.id, why })
            }
            Decided::Fails(failure, row) => self.park_answer(new, row.as_ref(), failure),
        }
    }

    /// Finds whom an answer answers and lets it happen.
    pub(super) fn decide(&mut self, id: AnswerId, answer: &Answer) -> Result<Decided> {
        let Some(mut row) = self.answered(&answer.reference)? else {
            let detail = self.orphaned(&answer.reference)?;
            return Ok(Decided::Fails(Failure::new(FailureCode::AnswerOrphaned, detail), None));
        };
        planted!("believes no early answer" if row.place.is_some(), return Ok(early(row)));
        let known = self.known(id, Some(row.seq))?;
        if let Some(known) = &known
            && self.settled_before(known, row.seq)?
        {
            return Ok(Decided::Ignored(row, Some(*known), Ignored::AlreadySettled));
        }
        let step = self.take(&mut row, &Event::Answered(answer.verdict), With::Answer(answer))?;
        point!("store.settled", return Err(crate::points::full()));
        self.release()?;
        Ok(match step {
            Step::Ignored(Ignored::Contradiction) if !planted!("ignores a contradiction") => {
                let detail = format!("request {} is applied and billing was told so", row.id);
                Decided::Fails(Failure::new(FailureCode::AnswerContradicts, detail), Some(row))
            }
            Step::Ignored(Ignored::NeverSent) => {
                let detail = format!("request {} was never handed over", row.id);
                Decided::Fails(Failure::new(FailureCode::AnswerOrphaned, detail), Some(row))
            }
            Step::Ignored(why) => Decided::Ignored(row, known, why),
            Step::Moved { .. } | Step::Repeated | Step::Refused(_) => Decided::Moved(row, known),
        })
    }

    /// The request that an answer names: by message id, else by the body's sync request id. An id
    /// that looks like ours but is not known says less than the body, which billing's id is in:
    /// a store that was set up anew has forgotten the one and not the other.
    fn answered(&self, reference: &AnswerReference) -> Result<Option<Row>> {
        if let Some(message) = reference.message
            && let Some(row) = self.find(message.request())?
        {
            return Ok(Some(row));
        }
        match &reference.sync_request {
            Some(sync_request) => self.newest_attempted(sync_request),
            None => Ok(None),
        }
    }

    fn orphaned(&self, reference: &AnswerReference) -> Result<String> {
        let Some(sync_request) = &reference.sync_request else {
            return Ok(match reference.message {
                Some(message) => format!("no request has the message id {message}"),
                None => "it names no message id and no sync request".to_owned(),
            });
        };
        Ok(match self.newest(sync_request)? {
            Some(row) => {
                format!("request {} of sync request {sync_request} was never handed over", row.id)
            }
            None => format!("no request has the sync request id {sync_request}"),
        })
    }

    /// Whether the same answer has settled the same request before: a redelivery. Billing may
    /// have been told something else since, so the state alone does not know.
    fn settled_before(&self, known: &Known, request: i64) -> Result<bool> {
        let error = self.error_of(Subject::Answer { seq: known.seq })?;
        let is_over = error.is_none_or(|(_, status)| status == ErrorStatus::Resolved);
        Ok(known.request == Some(request) && is_over)
    }

    /// Keeps an answer that found its request, once; if it was parked before, that is over.
    fn keep_settled(&self, new: &NewAnswer, row: &Row, known: Option<Known>) -> Result<()> {
        match known {
            Some(known) if known.request.is_none_or(|request| request == row.seq) => {
                let verdict = new.read.as_ref().ok();
                self.match_answer(known.seq, row, verdict)
            }
            Some(_) | None => self.keep_answer(new, Some(row)).map(|_| ()),
        }
    }

    /// Writes whom a stored answer answers and resolves its error record.
    pub(super) fn match_answer(&self, seq: i64, row: &Row, answer: Option<&Answer>) -> Result<()> {
        const MATCH: &str = "UPDATE answers SET request = ?2, verdict = ?3 WHERE seq = ?1";
        const OF: &str = "UPDATE errors SET request = ?2 WHERE id = ?1";
        let verdict = answer.map(|answer| rows::verdict_code(answer.verdict));
        self.statement(MATCH)?.execute(params![seq, row.seq, verdict])?;
        if let Some((error, status)) = self.error_of(Subject::Answer { seq })?
            && status != ErrorStatus::Resolved
        {
            self.statement(OF)?.execute([error, row.seq])?;
            self.set_error(error, ErrorStatus::Resolved, None)?;
        }
        Ok(())
    }

    pub(super) fn park_answer(
        &self,
        new: &NewAnswer,
        row: Option<&Row>,
        failure: Failure,
    ) -> Result<Settled> {
        let request = row.map(|row| row.seq);
        let seq = match self.known(new.id, request)? {
            Some(known) => {
                let open = self
                    .error_of(Subject::Answer { seq: known.seq })?
                    .filter(|(_, at)| matches!(at, ErrorStatus::Open | ErrorStatus::Discarded));
                if let Some((error, _)) = open {
                    self.count_failure(error)?;
                    return Ok(Settled::ParkedBefore { error: ErrorId(error) });
                }
                known.seq
            }
            None => self.keep_answer(new, row)?,
        };
        let error = self.open_error(Subject::Answer { seq }, request, &failure)?;
        tracing::warn!(
            error.id = %ErrorId(error),
            request.id = row.map(|row| tracing::field::display(row.id)),
            failure.code = failure.code.as_str(),
            "answer is parked"
        );
        let request = row.map(|row| row.id);
        Ok(Settled::Parked { error: ErrorId(error), failure, request })
    }

    pub(super) fn answer_is_known(&self, id: AnswerId) -> Result<bool> {
        Ok(self.known(id, None)?.is_some())
    }

    /// The stored answer with this id; of this request, if there are several, and the latest.
    fn known(&self, id: AnswerId, request: Option<i64>) -> Result<Option<Known>> {
        const KNOWN: &str = "SELECT seq, request FROM answers WHERE id = ?1";
        let mut statement = self.statement(KNOWN)?;
        let known = statement.query_map([id.as_uuid().as_bytes()], |row| {
            Ok(Known { seq: row.get(0)?, request: row.get(1)? })
        })?;
        // Mostly there is none: to have them sorted by SQLite takes longer than to find that out.
        let known: Vec<_> = known.collect::<rusqlite::Result<_>>()?;
        Ok(known.into_iter().max_by_key(|known| (known.request == request, known.seq)))
    }

    fn keep_answer(&self, new: &NewAnswer, row: Option<&Row>) -> Result<i64> {
        const ADD: &str = "INSERT INTO answers (id, request, sync_request, verdict, payload, \
             trace, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let answer = new.read.as_ref().ok();
        let named = answer.and_then(|answer| answer.reference.sync_request.as_ref());
        let payload = self.keep_arrival(&new.arrival, None)?;
        Ok(self.statement(ADD)?.insert(params![
            new.id.as_uuid().as_bytes(),
            row.map(|row| row.seq),
            named.map(SyncRequestId::as_str),
            answer.map(|answer| rows::verdict_code(answer.verdict)),
            payload,
            new.trace,
            self.at(),
        ])?)
    }
}
