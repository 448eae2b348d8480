//! `Store::record`: requests enter once.

use std::borrow::Cow;

use jiff::Timestamp;
use rusqlite::params;

use super::errors::Subject;
use super::moves::log;
use super::rows::{self, Result, Row};
use super::story::{self, With};
use super::work::Work;
use crate::bridge::message::What;
use crate::bridge::ports::{NewRequest, Recorded};
use crate::bridge::{Arrival, Lane, Outgoing, Properties};
use crate::domain::{
    Entry, ErrorId, Event, Failure, FailureCode, Place, Placing, RequestId, ServicePointId, State,
    Step, SyncRequestId, Told, Translation,
};

impl Work<'_> {
    /// Records a batch, for which there is room or has been none for too long.
    pub(super) fn record(&mut self, batch: &[NewRequest], has_room: bool) -> Result<Vec<Recorded>> {
        if !has_room {
            self.fresh(Lane::Location).leave();
        }
        batch.iter().map(|new| self.record_one(new)).collect()
    }

    pub(super) fn record_one(&mut self, new: &NewRequest) -> Result<Recorded> {
        planted!("drops what it cannot read" if new.translation.is_err(), return Ok(dropped()));
        let recorded = match self.find(new.id)? {
            Some(known) => self.resend(known, new)?,
            None => self.bear(new)?,
        };
        point!("store.recorded", return Err(crate::points::full()));
        self.release()?;
        Ok(recorded)
    }

    /// A known request came again: an identical resend, or a redelivery.
    fn resend(&mut self, mut row: Row, new: &NewRequest) -> Result<Recorded> {
        const COUNT: &str = "UPDATE requests SET resends = resends + 1 WHERE seq = ?1";
        if !planted!("does not count resends") {
            self.statement(COUNT)?.execute([row.seq])?;
        }
        let translation = translated(new);
        let translates = translation.is_ok();
        let (step, _) = self.step(&row, &Event::Resent { translates }, false)?;
        // What was published goes out again as it was: it may have arrived.
        if let (State::Parked, Step::Moved { .. }, Ok(translation)) =
            (&row.state, &step, &translation)
        {
            self.translate_again(&mut row, translation)?;
            self.identify(&mut row, new)?;
        }
        let step = self.take(&mut row, &Event::Resent { translates }, With::Nothing)?;
        let repeated = step == Step::Repeated && self.repeat_reply(&row)?;
        if step == Step::Repeated {
            let detail = if repeated {
                "billing sent it again: it gets its last reply once more"
            } else {
                "billing sent it again"
            };
            self.note_line(row.seq, &Entry::new("resent", detail), None)?;
        }
        let revived = matches!(step, Step::Moved { .. });
        Ok(Recorded::Known { state: row.state.as_str(), repeated, revived })
    }

    fn bear(&mut self, new: &NewRequest) -> Result<Recorded> {
        let translation = translated(new);
        let mut row = self.unborn(new, translation.as_ref().ok().copied())?;
        let neighbours = self.neighbours(&row)?;
        let overtakes = match &translation {
            Ok(_) => {
                let Placing { place, overtakes } = Placing::of(&row.revision, &neighbours);
                row.state = match place {
                    Place::Next => State::Pending { tries: 0, due: self.now },
                    Place::Behind => State::Waiting,
                    Place::TooLate { by } => State::Superseded { by },
                };
                overtakes
            }
            Err(_) => Placing::of_untranslatable(&neighbours),
        };
        self.fit_outbox(&mut row)?;
        if let (Some(place), Ok(translation)) = (row.place, &translation)
            && let Some(message) = location(&row, new, translation)
        {
            self.fresh(Lane::Location).remember(place, message);
        }
        if row.state.is_under_way() && translation.as_ref().is_ok_and(|it| it.passes == 0) {
            row.born_line = Some(self.next_line()?);
            self.next_line()?;
        }
        self.insert(&row, &new.arrival)?;
        self.tell_birth(&mut row, new, &translation)?;
        self.count(None, &row.state);
        log(&row, translation.as_ref().err());
        self.overtake(&overtakes, row.id)?;
        let (state, error) = (row.state.as_str(), row.error.map(ErrorId));
        self.remember(row);
        Ok(Recorded::New { state, error, superseded: overtakes })
    }

    /// The row of a request before its place is known.
    fn unborn(&self, new: &NewRequest, translation: Option<&Translation>) -> Result<Row> {
        let made = translation.map(|it| &*it.outgoing);
        let received = self.keep_arrival(&new.arrival, made)?;
        Ok(Row {
            seq: self.next_request()?,
            id: new.id,
            sync_request: new.sync_request.clone(),
            service_point: new.service_point.clone(),
            revision: rows::kept(&new.revision),
            state: State::Parked,
            place: None,
            attempted: false,
            kind: translation.map(|it| it.kind),
            edition: u16::from(translation.is_some()),
            received,
            outgoing: made.map(|_| received),
            mapping: translation.map(|it| it.mapping.clone()),
            error: None,
            told: None,
            replies: 0,
            reply_correlation: new.reply_correlation.clone(),
            trace: new.trace.clone(),
            born_line: None,
            confirmed_line: None,
            confirmed_at_ms: Some(self.at()),
        })
    }

    fn insert(&self, row: &Row, arrival: &Arrival) -> Result<()> {
        const ADD: &str = "INSERT INTO requests (seq, id, sync_request, service_point, version, \
             created_at_ms, state, tries, date_ms, superseded_by, place, attempted, kind, edition, \
             received, outgoing, mapping, replies, resends, reply_correlation, trace, \
             received_at_ms, changed_at_ms, confirmed_at_ms, live, born_line, arrived_bytes, \
             arrived_from) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, 0, ?11, ?12, ?13, \
             ?14, ?15, 0, 0, ?16, ?17, ?18, ?18, ?18, ?7 < 4, ?19, ?20, ?21)";
        let state = rows::state_columns(&row.state);
        self.statement(ADD)?.execute(params![
            row.seq,
            row.id.as_uuid().as_bytes(),
            row.sync_request.as_ref().map(SyncRequestId::as_str),
            row.service_point.as_ref().map(ServicePointId::as_str),
            row.revision.version.map(u64::cast_signed),
            row.revision.created_at.map(Timestamp::as_millisecond),
            state.code,
            state.date,
            state.by.as_ref().map(uuid::Uuid::as_bytes),
            row.place,
            row.kind.map(rows::kind_code),
            row.edition,
            row.received,
            row.outgoing,
            row.mapping,
            row.reply_correlation,
            row.trace,
            self.at(),
            row.born_line,
            row.born_line.and_then(|_| i64::try_from(arrival.payload.len()).ok()),
            row.born_line.map(|_| source(arrival)),
        ])?;
        Ok(())
    }

    /// The lines of a birth that its row does not tell, the error record and the reply.
    fn tell_birth(
        &self,
        row: &mut Row,
        new: &NewRequest,
        translation: &Result<&Translation, Failure>,
    ) -> Result<()> {
        if row.born_line.is_some() {
            return Ok(());
        }
        let Arrival { payload, .. } = &new.arrival;
        let detail = format!("{} bytes from {}", payload.len(), source(&new.arrival));
        let received = Entry { kind: "received", detail };
        let state = row.state;
        match (translation, state) {
            (Ok(translation), State::Pending { .. }) => {
                let translated = story::of_translation(translation);
                self.note_first_lines(row.seq, [&received, &translated], Some(&state))
            }
            (Ok(translation), _) => {
                let translated = story::of_translation(translation);
                self.note_first_lines(row.seq, [&received, &translated], None)?;
                let born = Event::Resent { translates: true };
                let entry = story::of_move(&born, With::Nothing, (&state, &state));
                self.note_line(row.seq, &entry, Some(&state))?;
                match state {
                    State::Superseded { by } => self.tell_late(row, by),
                    _ => Ok(()),
                }
            }
            (Err(failure), _) => {
                let subject = Subject::Request { seq: row.seq };
                row.error = Some(self.open_error(subject, Some(row.seq), failure)?);
                let parked = Entry::new("parked", story::sentence(failure));
                self.note_first_lines(row.seq, [&received, &parked], Some(&state))?;
                self.tell(row, &Told::Parked(failure.clone()))?;
                self.save(row)
            }
        }
    }

    fn tell_late(&self, row: &mut Row, by: RequestId) -> Result<()> {
        let newer = self.find(by)?.and_then(|newer| newer.sync_request);
        self.tell(row, &Told::Superseded { by: newer })?;
        self.save(row)
    }

    /// A new edition: other bytes, another message id.
    pub(super) fn translate_again(&self, row: &mut Row, translation: &Translation) -> Result<()> {
        if let Some(line) = row.born_line.take() {
            const TOLD: &str = "UPDATE requests SET born_line = NULL WHERE seq = ?1";
            self.write_down(row.seq, line..=line + 1)?;
            self.statement(TOLD)?.execute([row.seq])?;
        }
        row.outgoing = Some(self.keep_made(&translation.outgoing)?);
        row.kind = Some(translation.kind);
        row.mapping = Some(translation.mapping.clone());
        row.edition = row.edition.saturating_add(1);
        self.note_line(row.seq, &story::of_translation(translation), None)
    }

    /// Takes over what today's mapping reads of the identity.
    fn identify(&self, row: &mut Row, new: &NewRequest) -> Result<()> {
        row.sync_request.clone_from(&new.sync_request);
        row.service_point.clone_from(&new.service_point);
        row.revision = rows::kept(&new.revision);
        self.save_identity(row)
    }

    pub(super) fn save_identity(&self, row: &Row) -> Result<()> {
        const SAVE: &str = "UPDATE requests SET sync_request = ?2, service_point = ?3, \
             version = ?4, created_at_ms = ?5 WHERE seq = ?1";
        self.statement(SAVE)?.execute(params![
            row.seq,
            row.sync_request.as_ref().map(SyncRequestId::as_str),
            row.service_point.as_ref().map(ServicePointId::as_str),
            row.revision.version.map(u64::cast_signed),
            row.revision.created_at.map(Timestamp::as_millisecond),
        ])?;
        Ok(())
    }
}

/// Where a message was published to.
fn source(arrival: &Arrival) -> Cow<'_, str> {
    let Properties { exchange, routing_key, .. } = &arrival.properties;
    match exchange.as_str() {
        "" => routing_key.into(),
        exchange => format!("{exchange}/{routing_key}").into(),
    }
}

/// What is said of a request that was dropped.
#[cfg(feature = "points")]
fn dropped() -> Recorded {
    Recorded::Known { state: "parked", repeated: false, revived: false }
}

/// The message for asset management that a newborn request is waiting to send.
fn location(row: &Row, new: &NewRequest, translation: &Translation) -> Option<Outgoing> {
    Some(Outgoing {
        message_id: row.id.location(row.edition),
        payload: translation.outgoing.clone(),
        what: What::Location {
            request: row.id,
            sync_request: new.sync_request.clone()?,
            service_point: new.service_point.clone()?,
            kind: translation.kind,
        },
        trace: row.trace.clone(),
    })
}

/// What the translation came to. What is to be sent must say about what and for whom.
fn translated(new: &NewRequest) -> Result<&Translation, Failure> {
    let translation = new.translation.as_ref().map_err(Clone::clone)?;
    if new.sync_request.is_none() || new.service_point.is_none() {
        let why = "the message names no sync request or no service point";
        return Err(Failure::new(FailureCode::MissingField, why));
    }
    Ok(translation)
}
