//! The outbox: the only queue of what must be published. Leased in the order of place, given up
//! when the outcome is known.

use jiff::Timestamp;
use rusqlite::{Params, Row as SqlRow, params};

use super::leases::Lease;
use super::payload::{Unpacker, bundle_of, payload_columns};
use super::replies::correlation;
use super::rows::{self, Result, wrong};
use super::story::With;
use super::work::Work;
use crate::bridge::message::What;
use crate::bridge::ports::{Handover, Lane, Leased, Swept};
use crate::bridge::{Outgoing, Properties, StoreError};
use crate::domain::{
    About, AnswerId, ErrorId, Event, Failure, MessageId, Outcome, RequestId, Step,
};

impl Work<'_> {
    pub(super) fn put(&self, lane: Lane, subject: i64, number: u16, due: i64) -> Result<i64> {
        const PUT: &str = "INSERT INTO outbox (lane, place, subject, number, due_at_ms, failures, \
             put_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)";
        let (place, code) = (self.next_place()?, rows::lane_code(lane));
        self.statement(PUT)?.execute(params![code, place, subject, number, due, self.at()])?;
        if due <= self.at() {
            self.note_due(lane);
        }
        Ok(place)
    }

    /// Takes a place out, and ends its lease.
    pub(super) fn take_out(&self, lane: Lane, place: i64) -> Result<()> {
        const TAKE: &str = "DELETE FROM outbox WHERE lane = ?1 AND place = ?2";
        self.statement(TAKE)?.execute([i64::from(rows::lane_code(lane)), place])?;
        self.leases.borrow_mut().end(place);
        self.fresh(lane).forget(place);
        if lane == Lane::Reply && self.held_back.take() {
            self.note_due(lane);
        }
        Ok(())
    }

    /// Ends the lease of a place; it is due again at the given time.
    pub(super) fn give_back(&self, lane: Lane, place: i64, due: i64) -> Result<()> {
        const GIVE: &str = "UPDATE outbox SET due_at_ms = ?3 WHERE lane = ?1 AND place = ?2";
        self.statement(GIVE)?.execute([i64::from(rows::lane_code(lane)), place, due])?;
        self.leases.borrow_mut().end(place);
        if due <= self.at() {
            self.note_due(lane);
        }
        Ok(())
    }

    /// Leases what is due of a lane. What is due later than any wait lasts was put while the clock
    /// was ahead, and is due as well: whoever sets it right must not hold back what waits.
    pub(super) fn lease(&self, lane: Lane, limit: u32, until: Timestamp) -> Result<Vec<Leased>> {
        const DUE: &str = "SELECT place, subject, number FROM outbox \
             WHERE lane = ?1 AND (due_at_ms <= ?2 OR due_at_ms > ?3) ORDER BY place";
        let longest = self.context.rules.retry.delay_max;
        let ahead = self.now.checked_add(longest).unwrap_or(Timestamp::MAX).as_millisecond();
        let mut leased = Vec::new();
        let mut statement = self.statement(DUE)?;
        let mut due = statement.query([i64::from(rows::lane_code(lane)), self.at(), ahead])?;
        while leased.len() < limit as usize
            && let Some(row) = due.next()?
        {
            let (place, subject) = (row.get(0)?, row.get(1)?);
            if !self.leases.borrow().is_free(place, self.now) {
                continue;
            }
            planted!("looks for new ones" if self.leases.borrow().was_found(place), continue);
            let fresh = self.fresh(lane).take(place);
            let message = match (lane, fresh) {
                (_, Some(message)) => message,
                #[cfg(feature = "points")]
                (Lane::Location, None) if planted!("sends other bytes") => self.spoilt(subject)?,
                (Lane::Location, None) => self.location(subject)?,
                (Lane::Reply, None) => self.reply(subject)?,
                (Lane::Note, None) => self.note(subject, row.get(2)?)?,
            };
            if !self.is_its_turn(&message, place)? {
                self.held_back.set(true);
                continue;
            }
            self.leases.borrow_mut().give(place, Lease { subject, until });
            leased.push(Leased { place, message });
            point!("store.leased" @ lane.as_str(), return Err(crate::points::full()));
        }
        if leased.len() < limit as usize {
            // Nothing else is due: what is still remembered waits for long.
            self.fresh(lane).forget_all();
        }
        Ok(leased)
    }

    /// Replies to one sync request go one after the other, so that the last one stays the last:
    /// nothing while an earlier one is in the outbox.
    fn is_its_turn(&self, message: &Outgoing, place: i64) -> Result<bool> {
        const EARLIER: &str = "SELECT 1 FROM requests r CROSS JOIN replies p ON p.request = r.seq \
             WHERE r.sync_request = ?1 AND p.place < ?2";
        let What::Reply { sync_request, .. } = &message.what else { return Ok(true) };
        Ok(!self.statement(EARLIER)?.exists(params![sync_request.as_str(), place])?)
    }

    fn location(&self, request: i64) -> Result<Outgoing> {
        const LOCATION: &str = concat!(
            "SELECT r.seq, r.id, r.edition, r.sync_request, r.service_point, r.kind, r.trace, ",
            payload_columns!("r.outgoing", "p"),
            " FROM requests r CROSS JOIN payloads p ON p.id = ",
            bundle_of!("r.outgoing"),
            " WHERE r.seq = ?1"
        );
        self.outgoing(LOCATION, [request], "requests", location_of)
    }

    /// An asset location with a line more than before.
    #[cfg(feature = "points")]
    fn spoilt(&self, request: i64) -> Result<Outgoing> {
        let mut message = self.location(request)?;
        message.payload.push(b'\n');
        Ok(message)
    }

    fn reply(&self, reply: i64) -> Result<Outgoing> {
        const REPLY: &str = concat!(
            "SELECT p.seq, p.message, r.id, r.sync_request, r.service_point, r.reply_correlation, \
             p.outcome, r.trace, ",
            payload_columns!("p.payload", "b"),
            " FROM replies p CROSS JOIN requests r ON r.seq = p.request \
             CROSS JOIN payloads b ON b.id = ",
            bundle_of!("p.payload"),
            " WHERE p.seq = ?1"
        );
        self.outgoing(REPLY, [reply], "replies", reply_of)
    }

    fn note(&self, error: i64, number: u16) -> Result<Outgoing> {
        const NOTE: &str = concat!(
            "SELECT e.id, ?2, e.code, e.about, r.id, r.sync_request, r.service_point, r.trace, \
             a.id, y.message, ",
            payload_columns!(
                "CASE e.about WHEN 0 THEN r.received WHEN 1 THEN a.payload ELSE y.payload END",
                "p"
            ),
            " FROM errors e LEFT JOIN requests r ON r.seq = e.request \
             LEFT JOIN answers a ON e.about = 1 AND a.seq = e.subject \
             LEFT JOIN replies y ON e.about = 2 AND y.seq = e.subject \
             CROSS JOIN payloads p ON p.id = ",
            bundle_of!(
                "(CASE e.about WHEN 0 THEN r.received WHEN 1 THEN a.payload ELSE y.payload END)"
            ),
            " WHERE e.id = ?1"
        );
        self.outgoing(NOTE, (error, number), "errors", note_of)
    }

    fn outgoing(
        &self,
        sql: &'static str,
        params: impl Params,
        table: &'static str,
        read: fn(&SqlRow<'_>, &mut Unpacker) -> Result<Outgoing>,
    ) -> Result<Outgoing> {
        self.write_bundle()?;
        let mut statement = self.statement(sql)?;
        let mut found = statement.query(params)?;
        match found.next()? {
            Some(row) => read(row, &mut self.unpacker.borrow_mut()),
            None => Err(StoreError::Inconsistent {
                table,
                row: "?".to_owned(),
                why: "what the outbox names is not there".to_owned(),
            }),
        }
    }

    /// Records how handovers ended. A place without a lease was settled meanwhile by something
    /// else: an answer, a newer request, a dead letter.
    pub(super) fn finish(&mut self, lane: Lane, handovers: &[(i64, Handover)]) -> Result<()> {
        for (place, handover) in handovers {
            let Some(Lease { subject, .. }) = self.leases.borrow().of(*place) else { continue };
            planted!("keeps a lease" if *handover == Handover::Interrupted, continue);
            match lane {
                Lane::Location => self.finish_location(subject, *place, handover)?,
                Lane::Reply => self.finish_reply(subject, *place, handover)?,
                Lane::Note => self.finish_note(*place, handover)?,
            }
            point!("store.finished" @ lane.as_str(), return Err(crate::points::full()));
            self.leases.borrow_mut().end(*place);
            planted!("records the first of a window", break);
        }
        Ok(())
    }

    fn finish_location(&mut self, request: i64, place: i64, handover: &Handover) -> Result<()> {
        let outcome = match handover {
            Handover::Confirmed => {
                let timeout = self.context.rules.answer_timeout;
                let answer_due = self.now.checked_add(timeout).unwrap_or(Timestamp::MAX);
                Outcome::Confirmed { answer_due }
            }
            Handover::Failed(failure) => Outcome::Failed(failure.clone()),
            Handover::Interrupted => Outcome::Interrupted,
        };
        let mut row = self.load(request)?;
        if row.place != Some(place) {
            return Ok(());
        }
        // It was handed over, and its lease is over whatever comes of it: a newer request may take
        // the place now.
        row.attempted = true;
        self.leases.borrow_mut().end(place);
        let step = self.take(&mut row, &Event::Published(outcome), With::Nothing)?;
        if let Step::Moved { .. } = step {
            self.remember(row);
        }
        self.release()
    }

    fn finish_note(&self, place: i64, handover: &Handover) -> Result<()> {
        const FAILED: &str = "UPDATE outbox SET failures = failures + 1 \
             WHERE lane = 2 AND place = ?1 RETURNING failures";
        match handover {
            Handover::Confirmed => self.take_out(Lane::Note, place),
            Handover::Interrupted => self.give_back(Lane::Note, place, self.at()),
            // A note is never given up: it is all that the error queue knows of the failure.
            Handover::Failed(_) => {
                let failures = self.statement(FAILED)?.query_row([place], |row| row.get(0))?;
                let delay = self.context.rules.retry.delay(failures);
                let due = self.now.checked_add(delay).unwrap_or(Timestamp::MAX);
                self.give_back(Lane::Note, place, due.as_millisecond())
            }
        }
    }

    /// Parks what waits in a lane and is not leased. Returns how many it parked.
    pub(super) fn park(&mut self, lane: Lane, failure: &Failure, limit: u32) -> Result<u32> {
        const WAITING: &str = "SELECT place, subject FROM outbox WHERE lane = ?1 ORDER BY place";
        if lane == Lane::Note {
            return Ok(0);
        }
        let mut subjects: Vec<i64> = Vec::new();
        {
            let mut statement = self.statement(WAITING)?;
            let mut waiting = statement.query([rows::lane_code(lane)])?;
            while subjects.len() < limit as usize
                && let Some(row) = waiting.next()?
            {
                if self.leases.borrow().is_free(row.get(0)?, self.now) {
                    subjects.push(row.get(1)?);
                }
            }
        }
        let mut parked = 0;
        for subject in subjects {
            if lane == Lane::Reply {
                self.park_reply(subject, failure)?;
                parked += 1;
            } else {
                let mut row = self.load(subject)?;
                let step = self.take(&mut row, &Event::Outage(failure.clone()), With::Nothing)?;
                self.release()?;
                parked += u32::from(matches!(step, Step::Moved { .. }));
            }
            point!("store.parked" @ lane.as_str(), return Err(crate::points::full()));
        }
        Ok(parked)
    }

    /// Marks requests whose answer is overdue.
    pub(super) fn sweep(&mut self, limit: u32) -> Result<Swept> {
        const DUE: &str = "SELECT seq FROM requests WHERE state = 2 AND date_ms <= ?1 \
             ORDER BY date_ms LIMIT ?2";
        let due: Vec<i64> = self
            .statement(DUE)?
            .query_map(params![self.at(), limit], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut swept = Swept { overdue: Vec::new(), more: due.len() as u64 >= u64::from(limit) };
        for seq in due {
            planted!("waits for ever", continue);
            let mut row = self.load(seq)?;
            let step = self.take(&mut row, &Event::AnswerTimedOut, With::Nothing)?;
            point!("store.overdue", return Err(crate::points::full()));
            self.release()?;
            if let Step::Moved { .. } = step {
                swept.overdue.push((row.id, row.sync_request));
            }
        }
        Ok(swept)
    }
}

fn location_of(row: &SqlRow<'_>, unpacker: &mut Unpacker) -> Result<Outgoing> {
    let request = rows::request_id(row, 1)?;
    let kind: Option<u8> = row.get(5)?;
    let (Some(sync_request), Some(service_point), Some(kind)) =
        (rows::sync_request(row, 3)?, rows::service_point(row, 4)?, kind)
    else {
        return Err(wrong(row, "requests", "a pending request without a translation"));
    };
    let kind = rows::kind_from(kind);
    let edition = row.get::<_, u16>(2)? + u16::from(planted!("sends under another id"));
    Ok(Outgoing {
        message_id: request.location(edition),
        payload: unpacker.read(row, 7)?.made.unwrap_or_default().to_owned(),
        what: What::Location { request, sync_request, service_point, kind },
        trace: row.get(6)?,
    })
}

fn reply_of(row: &SqlRow<'_>, unpacker: &mut Unpacker) -> Result<Outgoing> {
    let Some(sync_request) = rows::sync_request(row, 3)? else {
        return Err(wrong(row, "replies", "a reply to nobody"));
    };
    let correlation = correlation(row.get(5)?, &sync_request);
    Ok(Outgoing {
        message_id: MessageId::from_uuid(rows::uuid(row, 1)?),
        payload: unpacker.read(row, 8)?.body.to_owned(),
        what: What::Reply {
            request: rows::request_id(row, 2)?,
            sync_request,
            service_point: rows::service_point(row, 4)?,
            correlation,
            outcome: row.get(6)?,
        },
        trace: row.get(7)?,
    })
}

fn note_of(row: &SqlRow<'_>, unpacker: &mut Unpacker) -> Result<Outgoing> {
    let error = ErrorId(row.get(0)?);
    let code = rows::failure_code(row, 2)?;
    let request = rows::optional_request_id(row, 4)?;
    let about = about(row, 3, [4, 8, 9])?;
    let payload = unpacker.read(row, 10)?;
    let properties: Option<Properties> =
        payload.properties.and_then(|json| serde_json::from_str(json).ok());
    Ok(Outgoing {
        message_id: MessageId::note(error, row.get(1)?),
        payload: payload.body.to_owned(),
        what: What::Note {
            error,
            code,
            leg: about.leg(code),
            request,
            sync_request: rows::sync_request(row, 5)?,
            service_point: rows::service_point(row, 6)?,
            content_type: properties.and_then(|properties| properties.content_type),
        },
        trace: row.get(7)?,
    })
}

/// Reads what a record is about from its code and the ids of request, answer and reply.
pub(super) fn about(row: &SqlRow<'_>, code: usize, ids: [usize; 3]) -> Result<About> {
    let code: u8 = row.get(code)?;
    let [request, answer, reply] = ids;
    Ok(match code {
        0 => About::Request(RequestId::from_uuid(rows::uuid(row, request)?)),
        1 => About::Answer(AnswerId::from_uuid(rows::uuid(row, answer)?)),
        2 => About::Reply(MessageId::from_uuid(rows::uuid(row, reply)?)),
        other => return Err(wrong(row, "errors", format!("about {other} does not exist"))),
    })
}
