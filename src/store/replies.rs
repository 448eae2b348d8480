//! Replies to billing: their bytes are fixed when they are made; each is delivered in its own time.

use rusqlite::{OptionalExtension as _, params};

use super::errors::Subject;
use super::rows::{self, Result, Row};
use super::story;
use super::work::{Work, gone};
use crate::bridge::message::What;
use crate::bridge::ports::{Handover, TookIn};
use crate::bridge::{Lane, Outgoing};
use crate::domain::{
    Entry, ErrorId, ErrorStatus, Failure, MessageId, Reply, RequestId, SyncRequestId, Told,
};

/// A reply as the store moves it.
pub(super) struct ReplyRow {
    pub(super) seq: i64,
    pub(super) request: i64,
    pub(super) number: u16,
    pub(super) state: ReplyState,
    pub(super) tries: u32,
    pub(super) place: Option<i64>,
    pub(super) error: Option<i64>,
    /// Billing asked again while a copy was on its way: it goes out once more after it.
    pub(super) again: bool,
    /// The line of its delivery, told by this row alone.
    pub(super) delivered_line: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReplyState {
    Pending,
    Delivered,
    Parked,
}

macro_rules! reply_columns {
    () => {
        "p.seq, p.request, p.number, p.state, p.tries, p.place, p.error, p.again, \
         p.delivered_line"
    };
}

impl Work<'_> {
    /// Makes a reply and puts it into the outbox.
    pub(super) fn make_reply(
        &self,
        row: &mut Row,
        sync_request: SyncRequestId,
        told: &Told,
    ) -> Result<()> {
        const ADD: &str = "INSERT INTO replies (request, number, message, outcome, payload, state, \
             tries, place, made_at_ms, made_line) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?7, ?8)";
        let reply = Reply { sync_request, told: told.clone() };
        let bytes = self.context.replies.write(&reply);
        row.replies = row.replies.saturating_add(1);
        row.told = Some(told.sign());
        let message = row.id.reply(row.replies);
        let payload = self.keep_bytes(&bytes)?;
        let seq = self.next_reply()?;
        let place = self.put(Lane::Reply, seq, row.replies, self.at())?;
        self.statement(ADD)?.execute(params![
            row.seq,
            row.replies,
            message.as_uuid().as_bytes(),
            told.outcome(),
            payload,
            place,
            self.at(),
            self.next_line()?,
        ])?;
        point!("store.reply", return Err(crate::points::full()));
        let what = What::Reply {
            request: row.id,
            service_point: row.service_point.clone(),
            correlation: correlation(row.reply_correlation.clone(), &reply.sync_request),
            sync_request: reply.sync_request,
            outcome: told.outcome().to_owned(),
        };
        let trace = row.trace.clone();
        let outgoing = Outgoing { message_id: message, payload: bytes, what, trace };
        self.fresh(Lane::Reply).remember(place, outgoing);
        Ok(())
    }

    /// Puts the last reply to a sync request into the outbox once more, under the same message id.
    /// Tells whether it did: a reply that is on its way or parked is left alone.
    pub(super) fn repeat_reply(&self, row: &Row) -> Result<bool> {
        const LAST: &str = concat!(
            "SELECT ",
            reply_columns!(),
            " FROM replies p WHERE p.request = ?1 ORDER BY p.number DESC LIMIT 1"
        );
        // If billing corrected the request, the newest one answers for them all.
        let newest = match &row.sync_request {
            Some(sync_request) => self.newest(sync_request)?,
            None => None,
        };
        let last = self.one_reply(LAST, [newest.map_or(row.seq, |newest| newest.seq)])?;
        match last {
            Some(reply) if reply.state == ReplyState::Delivered => {
                self.send_reply(reply)?;
                Ok(true)
            }
            // Its confirm is awaited: billing may have asked because it has read that copy. It goes
            // out once more after it.
            Some(reply) if self.is_on_its_way(&reply) => {
                self.save_reply(&ReplyRow { again: true, ..reply })?;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    fn is_on_its_way(&self, reply: &ReplyRow) -> bool {
        match (reply.state, reply.place) {
            (ReplyState::Pending, Some(place)) => self.leases.borrow().may_be_out(place),
            (ReplyState::Pending | ReplyState::Delivered | ReplyState::Parked, _) => false,
        }
    }

    /// Puts a reply into the outbox again: the same bytes under the same message id.
    pub(super) fn send_reply(&self, mut reply: ReplyRow) -> Result<()> {
        reply.place = Some(self.put(Lane::Reply, reply.seq, reply.number, self.at())?);
        reply.state = ReplyState::Pending;
        reply.tries = 0;
        self.save_reply(&reply)
    }

    /// A later reply to the same sync request, if there is one: its request.
    pub(super) fn later_reply(&self, reply: &ReplyRow) -> Result<Option<RequestId>> {
        const LATER: &str = "SELECT s.id FROM requests r \
             CROSS JOIN requests s ON s.sync_request = r.sync_request \
             CROSS JOIN replies p ON p.request = s.seq \
             WHERE r.seq = ?1 AND p.seq > ?2 ORDER BY p.seq DESC LIMIT 1";
        let mut statement = self.statement(LATER)?;
        let mut found = statement.query([reply.request, reply.seq])?;
        found.next()?.map(|row| rows::request_id(row, 0)).transpose()
    }

    pub(super) fn finish_reply(&self, seq: i64, place: i64, handover: &Handover) -> Result<()> {
        let mut reply = self.load_reply(seq)?;
        if reply.place != Some(place) {
            return Ok(());
        }
        match handover {
            Handover::Confirmed => self.deliver(reply, place),
            Handover::Interrupted => self.give_back(Lane::Reply, place, self.at()),
            Handover::Failed(failure) => {
                let policy = self.context.rules.retry;
                reply.tries += 1;
                if reply.tries >= policy.tries_max {
                    self.park_loaded_reply(reply, failure)?;
                    return Ok(());
                }
                let due = self.now.checked_add(policy.delay(reply.tries)).unwrap_or(self.now);
                self.give_back(Lane::Reply, place, due.as_millisecond())?;
                self.save_reply(&reply)?;
                let detail =
                    format!("{}; next try at {}", story::sentence(failure), story::second(due));
                self.note_line(reply.request, &Entry { kind: "reply-failed", detail }, None)
            }
        }
    }

    fn deliver(&self, mut reply: ReplyRow, place: i64) -> Result<()> {
        const DELIVERED: &str = "UPDATE replies SET state = 1, place = NULL, \
             delivered_at_ms = ?2, delivered_line = ?3 WHERE seq = ?1";
        if reply.again {
            reply.again = false;
            self.save_reply(&reply)?;
            return self.give_back(Lane::Reply, place, self.at());
        }
        self.take_out(Lane::Reply, place)?;
        self.statement(DELIVERED)?.execute(params![reply.seq, self.at(), self.next_line()?])?;
        if let Some(error) = reply.error {
            self.set_error(error, ErrorStatus::Resolved, None)?;
        }
        Ok(())
    }

    pub(super) fn park_reply(&self, seq: i64, failure: &Failure) -> Result<()> {
        let reply = self.load_reply(seq)?;
        self.park_loaded_reply(reply, failure)?;
        Ok(())
    }

    fn park_loaded_reply(&self, mut reply: ReplyRow, failure: &Failure) -> Result<i64> {
        if let Some(place) = reply.place.take() {
            self.take_out(Lane::Reply, place)?;
        }
        let subject = Subject::Reply { seq: reply.seq };
        let error = self.open_error(subject, Some(reply.request), failure)?;
        reply.error = Some(error);
        reply.again = false;
        reply.state = ReplyState::Parked;
        self.save_reply(&reply)?;
        tracing::warn!(
            error.id = %ErrorId(error),
            failure.code = failure.code.as_str(),
            "reply is parked"
        );
        let entry = Entry::new("reply-parked", story::sentence(failure));
        self.note_line(reply.request, &entry, None)?;
        Ok(error)
    }

    /// A reply came back from billing's queue, which it may do before its confirm is recorded.
    pub(super) fn return_reply(
        &self,
        request: RequestId,
        message: MessageId,
        failure: &Failure,
    ) -> Result<TookIn> {
        const BY_MESSAGE: &str = concat!(
            "SELECT ",
            reply_columns!(),
            " FROM requests r CROSS JOIN replies p ON p.request = r.seq \
             WHERE r.id = ?1 AND p.message = ?2"
        );
        let ids = [request.as_uuid().as_bytes(), message.as_uuid().as_bytes()];
        let Some(reply) = self.one_reply(BY_MESSAGE, ids)? else {
            return Ok(TookIn::Unknown);
        };
        let sent = match (reply.state, reply.place) {
            (ReplyState::Delivered, _) => true,
            (ReplyState::Pending, Some(place)) => self.leases.borrow().may_be_out(place),
            (ReplyState::Pending | ReplyState::Parked, _) => false,
        };
        if !sent {
            return Ok(TookIn::Known);
        }
        self.park_loaded_reply(reply, failure).map(|error| TookIn::Opened(ErrorId(error)))
    }

    pub(super) fn load_reply(&self, seq: i64) -> Result<ReplyRow> {
        const BY_SEQ: &str =
            concat!("SELECT ", reply_columns!(), " FROM replies p WHERE p.seq = ?1");
        self.one_reply(BY_SEQ, [seq])?.ok_or_else(|| gone("replies", seq))
    }

    fn one_reply(
        &self,
        sql: &'static str,
        params: impl rusqlite::Params,
    ) -> Result<Option<ReplyRow>> {
        let found = self.statement(sql)?.query_row(params, |row| {
            Ok(ReplyRow {
                seq: row.get(0)?,
                request: row.get(1)?,
                number: row.get(2)?,
                state: reply_state(row.get(3)?),
                tries: row.get(4)?,
                place: row.get(5)?,
                error: row.get(6)?,
                again: row.get(7)?,
                delivered_line: row.get(8)?,
            })
        });
        Ok(found.optional()?)
    }

    /// Writes what of a reply can change that is not delivered, or not any more.
    fn save_reply(&self, reply: &ReplyRow) -> Result<()> {
        const SAVE: &str = "UPDATE replies SET state = ?2, tries = ?3, place = ?4, error = ?5, \
             again = ?6, delivered_at_ms = NULL, delivered_line = NULL WHERE seq = ?1";
        if let Some(line) = reply.delivered_line {
            self.write_down(reply.request, line..=line)?;
        }
        self.statement(SAVE)?.execute(params![
            reply.seq,
            reply_state_code(reply.state),
            reply.tries,
            reply.place,
            reply.error,
            reply.again
        ])?;
        Ok(())
    }
}

/// What billing correlates a reply by.
pub(super) fn correlation(given: Option<String>, sync_request: &SyncRequestId) -> String {
    planted!("correlates amiss", return "tieline".to_owned());
    given.unwrap_or_else(|| sync_request.to_string())
}

fn reply_state_code(state: ReplyState) -> u8 {
    match state {
        ReplyState::Pending => 0,
        ReplyState::Delivered => 1,
        ReplyState::Parked => 2,
    }
}

pub(super) fn reply_state(code: u8) -> ReplyState {
    match code {
        0 => ReplyState::Pending,
        1 => ReplyState::Delivered,
        _ => ReplyState::Parked,
    }
}
