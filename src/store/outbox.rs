//! The outbox: the only queue of what must be published. Leased in the order of place, given up
//! when the outcome is known.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row as SqlRow, params};

use super::rows::{self, Result, wrong};
use super::story::With;
use super::work::Work;
use crate::bridge::message::What;
use crate::bridge::ports::{Handover, Lane, Leased, Swept};
use crate::bridge::{Outgoing, Properties};
use crate::domain::{
    About, AnswerId, ErrorId, Event, Failure, MessageId, Outcome, RequestId, Step,
};

/// What of a place decides how its handover ends.
struct Placed {
    place: i64,
    subject: i64,
    attempts: u32,
}

impl Work<'_> {
    pub(super) fn put(&self, lane: Lane, subject: i64, number: u16, due: i64) -> Result<i64> {
        const PUT: &str = "INSERT INTO outbox (lane, subject, number, due_at_ms, attempts, \
             put_at_ms) VALUES (?1, ?2, ?3, ?4, 0, ?5)";
        let lane = rows::lane_code(lane);
        Ok(self.statement(PUT)?.insert(params![lane, subject, number, due, self.at()])?)
    }

    pub(super) fn take_out(&self, place: i64) -> Result<()> {
        const TAKE: &str = "DELETE FROM outbox WHERE place = ?1";
        self.statement(TAKE)?.execute([place])?;
        Ok(())
    }

    /// Whether an attempt is running. A lease that ran out counts: its outcome is not known.
    pub(super) fn is_leased(&self, place: i64) -> Result<bool> {
        const LEASED: &str =
            "SELECT 1 FROM outbox WHERE place = ?1 AND leased_until_ms IS NOT NULL";
        Ok(self.statement(LEASED)?.exists([place])?)
    }

    /// Gives up the lease of a place; it is due again at the given time.
    pub(super) fn give_back(&self, place: i64, due: i64) -> Result<()> {
        const GIVE: &str =
            "UPDATE outbox SET leased_until_ms = NULL, due_at_ms = ?2 WHERE place = ?1";
        self.statement(GIVE)?.execute([place, due])?;
        Ok(())
    }

    /// Leases what is due of a lane.
    pub(super) fn lease(&self, lane: Lane, limit: u32, until: Timestamp) -> Result<Vec<Leased>> {
        const LEASE: &str = "UPDATE outbox SET leased_until_ms = ?2, attempts = attempts + 1 \
             WHERE place = ?1";
        let leased = match lane {
            Lane::Location => self.due_locations(limit)?,
            Lane::Reply => self.due_replies(limit)?,
            Lane::Note => self.due_notes(limit)?,
        };
        let mut statement = self.statement(LEASE)?;
        for Leased { place, .. } in &leased {
            statement.execute([*place, until.as_millisecond()])?;
        }
        Ok(leased)
    }

    fn due_locations(&self, limit: u32) -> Result<Vec<Leased>> {
        const DUE: &str = "SELECT o.place, r.id, r.edition, r.sync_request, r.service_point, \
             r.kind, r.trace, p.body, r.seq, r.attempted \
             FROM outbox o CROSS JOIN requests r ON r.seq = o.subject \
             CROSS JOIN payloads p ON p.id = r.outgoing \
             WHERE o.lane = 0 AND o.due_at_ms <= ?1 \
             AND (o.leased_until_ms IS NULL OR o.leased_until_ms <= ?1) \
             ORDER BY o.place LIMIT ?2";
        const ATTEMPTED: &str = "UPDATE requests SET attempted = 1 WHERE seq = ?1";
        let mut leased = Vec::new();
        let mut first = Vec::new();
        let mut statement = self.statement(DUE)?;
        let mut due = statement.query(params![self.at(), limit])?;
        while let Some(row) = due.next()? {
            leased.push(location(row)?);
            if !row.get::<_, bool>(9)? {
                first.push(row.get::<_, i64>(8)?);
            }
        }
        let mut statement = self.statement(ATTEMPTED)?;
        for seq in first {
            statement.execute([seq])?;
        }
        Ok(leased)
    }

    /// Replies to one sync request go one after the other, so that the last one stays the last.
    fn due_replies(&self, limit: u32) -> Result<Vec<Leased>> {
        const DUE: &str = "SELECT o.place, p.message, r.id, r.sync_request, r.service_point, \
             r.reply_correlation, p.outcome, r.trace, b.body \
             FROM outbox o CROSS JOIN replies p ON p.seq = o.subject \
             CROSS JOIN requests r ON r.seq = p.request CROSS JOIN payloads b ON b.id = p.payload \
             WHERE o.lane = 1 AND o.due_at_ms <= ?1 \
             AND (o.leased_until_ms IS NULL OR o.leased_until_ms <= ?1) \
             AND NOT EXISTS (SELECT 1 FROM requests s CROSS JOIN replies e ON e.request = s.seq \
                 WHERE s.sync_request = r.sync_request AND e.place < o.place) \
             ORDER BY o.place LIMIT ?2";
        self.collect(DUE, limit, reply)
    }

    fn due_notes(&self, limit: u32) -> Result<Vec<Leased>> {
        const DUE: &str = "SELECT o.place, e.id, o.number, e.code, e.about, \
             r.id, r.sync_request, r.service_point, r.trace, p.properties, p.body, a.id, y.message \
             FROM outbox o CROSS JOIN errors e ON e.id = o.subject \
             LEFT JOIN requests r ON r.seq = e.request \
             LEFT JOIN answers a ON e.about = 1 AND a.seq = e.subject \
             LEFT JOIN replies y ON e.about = 2 AND y.seq = e.subject \
             LEFT JOIN payloads p ON p.id = CASE e.about WHEN 0 THEN r.received \
                 WHEN 1 THEN a.payload ELSE y.payload END \
             WHERE o.lane = 2 AND o.due_at_ms <= ?1 \
             AND (o.leased_until_ms IS NULL OR o.leased_until_ms <= ?1) \
             ORDER BY o.place LIMIT ?2";
        self.collect(DUE, limit, note)
    }

    fn collect(
        &self,
        sql: &str,
        limit: u32,
        read: fn(&SqlRow<'_>) -> Result<Leased>,
    ) -> Result<Vec<Leased>> {
        let mut leased = Vec::new();
        let mut statement = self.statement(sql)?;
        let mut due = statement.query(params![self.at(), limit])?;
        while let Some(row) = due.next()? {
            leased.push(read(row)?);
        }
        Ok(leased)
    }

    /// Records how handovers ended. A place that is gone was settled meanwhile by something else:
    /// an answer, a newer request, a dead letter.
    pub(super) fn finish(&mut self, lane: Lane, handovers: Vec<(i64, Handover)>) -> Result<()> {
        for (place, handover) in handovers {
            let Some(placed) = self.at_place(lane, place)? else { continue };
            match lane {
                Lane::Location => self.finish_location(&placed, handover)?,
                Lane::Reply => self.finish_reply(placed.subject, handover)?,
                Lane::Note => self.finish_note(&placed, &handover)?,
            }
        }
        Ok(())
    }

    fn at_place(&self, lane: Lane, place: i64) -> Result<Option<Placed>> {
        const AT: &str = "SELECT subject, attempts FROM outbox WHERE place = ?1 AND lane = ?2";
        let mut statement = self.statement(AT)?;
        let found = statement.query_row(params![place, rows::lane_code(lane)], |row| {
            Ok(Placed { place, subject: row.get(0)?, attempts: row.get(1)? })
        });
        Ok(found.optional()?)
    }

    fn finish_location(&mut self, placed: &Placed, handover: Handover) -> Result<()> {
        let outcome = match handover {
            Handover::Confirmed => {
                let timeout = self.context.rules.answer_timeout;
                let answer_due = self.now.checked_add(timeout).unwrap_or(Timestamp::MAX);
                Outcome::Confirmed { answer_due }
            }
            Handover::Failed(failure) => Outcome::Failed(failure),
            Handover::Interrupted => Outcome::Interrupted,
        };
        // The lease is over whatever comes of it: a newer request may take the place now.
        if !matches!(outcome, Outcome::Confirmed { .. }) {
            self.give_back(placed.place, self.at())?;
        }
        let mut row = self.load(placed.subject)?;
        self.take(&mut row, &Event::Published(outcome), With::Nothing)?;
        self.release()
    }

    fn finish_note(&self, placed: &Placed, handover: &Handover) -> Result<()> {
        match handover {
            Handover::Confirmed => self.take_out(placed.place),
            Handover::Interrupted => self.give_back(placed.place, self.at()),
            // A note is never given up: it is all that the error queue knows of the failure.
            Handover::Failed(_) => {
                let delay = self.context.rules.retry.delay(placed.attempts);
                let due = self.now.checked_add(delay).unwrap_or(Timestamp::MAX);
                self.give_back(placed.place, due.as_millisecond())
            }
        }
    }

    /// Parks what waits in a lane and is not leased. Returns how many it parked.
    pub(super) fn park(&mut self, lane: Lane, failure: &Failure, limit: u32) -> Result<u32> {
        const WAITING: &str = "SELECT subject FROM outbox WHERE lane = ?1 \
             AND (leased_until_ms IS NULL OR leased_until_ms <= ?2) ORDER BY place LIMIT ?3";
        if lane == Lane::Note {
            return Ok(0);
        }
        let subjects: Vec<i64> = self
            .statement(WAITING)?
            .query_map(params![rows::lane_code(lane), self.at(), limit], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut parked = 0;
        for subject in subjects {
            if lane == Lane::Reply {
                self.park_reply(subject, failure)?;
                parked += 1;
                continue;
            }
            let mut row = self.load(subject)?;
            let step = self.take(&mut row, &Event::Outage(failure.clone()), With::Nothing)?;
            self.release()?;
            parked += u32::from(matches!(step, Step::Moved { .. }));
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
            let mut row = self.load(seq)?;
            let step = self.take(&mut row, &Event::AnswerTimedOut, With::Nothing)?;
            self.release()?;
            if let Step::Moved { .. } = step {
                swept.overdue.push((row.id, row.sync_request));
            }
        }
        Ok(swept)
    }
}

fn location(row: &SqlRow<'_>) -> Result<Leased> {
    let request = rows::request_id(row, 1)?;
    let kind: Option<u8> = row.get(5)?;
    let (Some(sync_request), Some(service_point), Some(kind)) =
        (rows::sync_request(row, 3)?, rows::service_point(row, 4)?, kind)
    else {
        return Err(wrong(row, "outbox", "a pending request without a translation"));
    };
    let kind = rows::kind_from(kind);
    let message = Outgoing {
        message_id: request.location(row.get(2)?),
        payload: row.get(7)?,
        what: What::Location { request, sync_request, service_point, kind },
        trace: row.get(6)?,
    };
    Ok(Leased { place: row.get(0)?, message })
}

fn reply(row: &SqlRow<'_>) -> Result<Leased> {
    let Some(sync_request) = rows::sync_request(row, 3)? else {
        return Err(wrong(row, "outbox", "a reply to nobody"));
    };
    let correlation = match row.get(5)? {
        Some(text) => text,
        None => sync_request.to_string(),
    };
    let message = Outgoing {
        message_id: MessageId::from_uuid(rows::uuid(row, 1)?),
        payload: row.get(8)?,
        what: What::Reply {
            request: rows::request_id(row, 2)?,
            sync_request,
            service_point: rows::service_point(row, 4)?,
            correlation,
            outcome: row.get(6)?,
        },
        trace: row.get(7)?,
    };
    Ok(Leased { place: row.get(0)?, message })
}

fn note(row: &SqlRow<'_>) -> Result<Leased> {
    let error = ErrorId(row.get(1)?);
    let code = rows::failure_code(row, 3)?;
    let request = rows::optional_request_id(row, 5)?;
    let about = about(row, 4, [5, 11, 12])?;
    let properties: Option<String> = row.get(9)?;
    let properties: Option<Properties> =
        properties.and_then(|json| serde_json::from_str(&json).ok());
    let message = Outgoing {
        message_id: MessageId::note(error, row.get(2)?),
        payload: row.get(10)?,
        what: What::Note {
            error,
            code,
            leg: about.leg(code),
            request,
            sync_request: rows::sync_request(row, 6)?,
            service_point: rows::service_point(row, 7)?,
            content_type: properties.and_then(|properties| properties.content_type),
        },
        trace: row.get(8)?,
    };
    Ok(Leased { place: row.get(0)?, message })
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
