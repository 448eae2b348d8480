//! `Store::take_in`: what arrived on an error queue from elsewhere.

use super::rows::Result;
use super::story::With;
use super::work::Work;
use crate::bridge::ports::{NewAnswer, NewRequest, Recorded, Returned, Settled, TakenIn, TookIn};
use crate::domain::{Entry, ErrorId, Event, Failure, MessageId, RequestId, Step};

impl Work<'_> {
    pub(super) fn take_in(&mut self, batch: &[TakenIn]) -> Result<Vec<TookIn>> {
        batch.iter().map(|taken| self.take_in_one(taken)).collect()
    }

    fn take_in_one(&mut self, taken: &TakenIn) -> Result<TookIn> {
        point!("store.taking_in", return Err(crate::points::full()));
        match taken {
            TakenIn::Note { error } => {
                Ok(if self.error_exists(error.0)? { TookIn::Known } else { TookIn::Unknown })
            }
            TakenIn::Returned { message, about: Returned::Location(request), failure } => {
                self.location_came_back(*request, *message, failure)
            }
            TakenIn::Returned { message, about: Returned::Reply(request), failure } => {
                self.return_reply(*request, *message, failure)
            }
            TakenIn::Request { request, failure } => self.take_in_request(request, failure),
            TakenIn::Answer { answer, failure } => self.take_in_answer(answer, failure.clone()),
        }
    }

    fn location_came_back(
        &mut self,
        request: RequestId,
        message: MessageId,
        failure: &Failure,
    ) -> Result<TookIn> {
        let Some(mut row) = self.find(request)? else { return Ok(TookIn::Unknown) };
        if message.edition() != row.edition {
            let entry = Entry::new("ignored", "the asset location of an older edition came back");
            self.note_line(row.seq, &entry, None)?;
            return Ok(TookIn::Known);
        }
        let step = self.take(&mut row, &Event::DeadLettered(failure.clone()), With::Nothing)?;
        self.release()?;
        Ok(match (step, row.error) {
            (Step::Moved { .. }, Some(error)) => TookIn::Opened(ErrorId(error)),
            (Step::Moved { .. } | Step::Repeated | Step::Ignored(_) | Step::Refused(_), _) => {
                TookIn::Known
            }
        })
    }

    /// Born parked, whether or not it translates: the operator decides.
    fn take_in_request(&mut self, request: &NewRequest, failure: &Failure) -> Result<TookIn> {
        if self.find(request.id)?.is_some() {
            return Ok(TookIn::Known);
        }
        let request = NewRequest { translation: Err(failure.clone()), ..request.clone() };
        Ok(match self.record_one(&request)? {
            Recorded::New { error: Some(error), .. } => TookIn::Opened(error),
            Recorded::New { error: None, .. } | Recorded::Known { .. } => TookIn::Known,
        })
    }

    fn take_in_answer(&mut self, answer: &NewAnswer, failure: Failure) -> Result<TookIn> {
        if self.answer_is_known(answer.id)? {
            return Ok(TookIn::Known);
        }
        Ok(match self.park_answer(answer, None, failure)? {
            Settled::Parked { error, .. } => TookIn::Opened(error),
            Settled::ParkedBefore { .. } | Settled::Moved { .. } | Settled::Ignored { .. } => {
                TookIn::Known
            }
        })
    }
}
