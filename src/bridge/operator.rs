//! What a person does with the error queue (Control Bus): look, check, retry, discard, restore.
//! The command line and later faces are thin: the same words, the same rules, the same trail.

use std::sync::Arc;

use super::ports::{
    ErrorQuery, ErrorView, Mended, Operator, Order, Ordered, RequestQuery, RequestView, Store,
    StoreError,
};
use super::transforms::Transforms;
use super::{answers, intake};
use crate::domain::{
    About, Answer, Command, ErrorId, ErrorStatus, Failure, FailureCode, Refused, State, Verdict,
};

/// How many records one transaction of a bulk command touches.
const CHUNK: usize = 200;

/// The use cases of an operator.
pub struct Operations {
    pub store: Arc<dyn Store>,
    pub transforms: Arc<Transforms>,
}

/// What came of a command or check on one record.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Done, or would pass.
    Done,
    /// Would fail again, or failed again.
    StillFails(Failure),
    /// Cannot be done; why.
    Refused(String),
}

/// What came of a command or check on a selection.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tally {
    /// How many were done, or would pass.
    pub done: usize,
    /// Those that fail again.
    pub still_failing: Vec<(ErrorId, Failure)>,
    /// Those for which it cannot be done.
    pub refused: Vec<(ErrorId, String)>,
}

impl Tally {
    /// Adds what came of one.
    pub fn add(&mut self, id: ErrorId, result: Outcome) {
        match result {
            Outcome::Done => self.done += 1,
            Outcome::StillFails(failure) => self.still_failing.push((id, failure)),
            Outcome::Refused(why) => self.refused.push((id, why)),
        }
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: Self) {
        self.done += other.done;
        self.still_failing.extend(other.still_failing);
        self.refused.extend(other.refused);
    }

    /// How many records it counts.
    pub fn total(&self) -> usize {
        self.done + self.still_failing.len() + self.refused.len()
    }
}

impl Operations {
    /// Freezes a selection: the ids of the records that the query names now, oldest first, so that
    /// what is sent again keeps the order in which it failed.
    pub async fn select(&self, query: &ErrorQuery) -> Result<Vec<ErrorId>, StoreError> {
        let mut ids = Vec::new();
        let mut page = ErrorQuery { limit: 1000, ..query.clone() };
        loop {
            let errors = self.store.errors(&page).await?;
            ids.extend(errors.iter().map(|error| error.id));
            match errors.last() {
                Some(last) if errors.len() == page.limit as usize => page.before = Some(last.id),
                Some(_) | None => break,
            }
        }
        ids.reverse();
        Ok(ids)
    }

    /// Tells what a retry would do today, and publishes nothing.
    pub async fn check(&self, ids: &[ErrorId]) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        for &id in ids {
            let result = match self.mend(id).await? {
                Mend::Not(result) => result,
                Mend::Ready(order) => match order.mended {
                    Some(Mended::Answer(answer)) => self.would_settle(&answer).await?,
                    Some(Mended::Request { .. }) | None => Outcome::Done,
                },
            };
            tally.add(id, result);
        }
        Ok(tally)
    }

    /// Sends again what the records are about, translated with the mapping of today.
    pub async fn retry(&self, operator: &Operator, ids: &[ErrorId]) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        for chunk in ids.chunks(CHUNK) {
            let mut orders = Vec::with_capacity(chunk.len());
            for &id in chunk {
                match self.mend(id).await? {
                    Mend::Ready(order) => orders.push(*order),
                    Mend::Not(result) => tally.add(id, result),
                }
            }
            tally.merge(self.give(operator, orders).await?);
        }
        Ok(tally)
    }

    /// Gives up what the records are about.
    pub async fn discard(&self, operator: &Operator, ids: &[ErrorId]) -> Result<Tally, StoreError> {
        self.command(operator, ids, Command::Discard).await
    }

    /// Takes back a discard.
    pub async fn restore(&self, operator: &Operator, ids: &[ErrorId]) -> Result<Tally, StoreError> {
        self.command(operator, ids, Command::Restore).await
    }

    async fn command(
        &self,
        operator: &Operator,
        ids: &[ErrorId],
        command: Command,
    ) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        for chunk in ids.chunks(CHUNK) {
            let orders = chunk.iter().map(|&error| Order { error, command, mended: None });
            tally.merge(self.give(operator, orders.collect()).await?);
        }
        Ok(tally)
    }

    async fn give(&self, operator: &Operator, orders: Vec<Order>) -> Result<Tally, StoreError> {
        let ids: Vec<_> = orders.iter().map(|order| order.error).collect();
        point!("operator.selected");
        let ordered = self.store.order(operator, orders).await?;
        point!("operator.ordered");
        let mut tally = Tally::default();
        for (id, ordered) in ids.into_iter().zip(ordered) {
            tally.add(id, told(ordered));
        }
        Ok(tally)
    }

    /// Makes ready what a retry of a record starts from.
    async fn mend(&self, id: ErrorId) -> Result<Mend, StoreError> {
        let Some(error) = self.store.error(id).await? else {
            return Ok(Mend::Not(told(Ordered::Unknown)));
        };
        if error.status != ErrorStatus::Open {
            return Ok(Mend::Not(told(Ordered::NotOpen(error.status))));
        }
        match error.about {
            About::Reply(_) => Ok(Mend::ready(id, None)),
            About::Request(_) => self.mend_request(&error).await,
            About::Answer(_) => self.mend_answer(&error).await,
        }
    }

    async fn mend_request(&self, error: &ErrorView) -> Result<Mend, StoreError> {
        let Some(arrival) = self.store.error_message(error.id).await? else {
            return Ok(Mend::Not(told(Ordered::Unknown)));
        };
        let request = intake::request(&self.transforms.current(), arrival);
        let translation = match request.translation {
            Ok(translation) => translation,
            Err(failure) => return Ok(Mend::Not(Outcome::StillFails(failure))),
        };
        let (Some(sync_request), Some(service_point)) =
            (request.sync_request, request.service_point)
        else {
            let failure = Failure::new(
                FailureCode::MissingField,
                "the message translates, but names no sync request or no service point",
            );
            return Ok(Mend::Not(Outcome::StillFails(failure)));
        };
        let revision = request.revision;
        let mended = Mended::Request { translation, sync_request, service_point, revision };
        Ok(Mend::ready(error.id, Some(mended)))
    }

    async fn mend_answer(&self, error: &ErrorView) -> Result<Mend, StoreError> {
        let Some(arrival) = self.store.error_message(error.id).await? else {
            return Ok(Mend::Not(told(Ordered::Unknown)));
        };
        Ok(match answers::read(&self.transforms.current(), &arrival) {
            Ok(answer) => Mend::ready(error.id, Some(Mended::Answer(answer))),
            Err(failure) => Mend::Not(Outcome::StillFails(failure)),
        })
    }

    /// What a retry of an answer would come to: whether it finds its request now, and whether that
    /// takes it. The store decides when it is retried; this only looks.
    async fn would_settle(&self, answer: &Answer) -> Result<Outcome, StoreError> {
        let Some(request) = self.answered(answer).await? else {
            let detail = "it still matches no request";
            return Ok(Outcome::StillFails(Failure::new(FailureCode::AnswerOrphaned, detail)));
        };
        if answer.verdict == Verdict::Negative && request.state == State::Applied.as_str() {
            let detail = format!("request {} is applied and billing was told so", request.id);
            return Ok(Outcome::StillFails(Failure::new(FailureCode::AnswerContradicts, detail)));
        }
        Ok(Outcome::Done)
    }

    async fn answered(&self, answer: &Answer) -> Result<Option<RequestView>, StoreError> {
        if let Some(message) = answer.reference.message
            && let Some(request) = self.store.request(message.request()).await?
        {
            return Ok(Some(request));
        }
        let Some(sync_request) = answer.reference.sync_request.clone() else { return Ok(None) };
        let query =
            RequestQuery { sync_request: Some(sync_request), limit: 1, ..RequestQuery::default() };
        Ok(self.store.requests(&query).await?.into_iter().next())
    }
}

enum Mend {
    Ready(Box<Order>),
    Not(Outcome),
}

impl Mend {
    fn ready(error: ErrorId, mended: Option<Mended>) -> Self {
        Self::Ready(Box::new(Order { error, command: Command::Retry, mended }))
    }
}

/// What came of an order, in words for a person.
fn told(ordered: Ordered) -> Outcome {
    let why = match ordered {
        Ordered::Done => return Outcome::Done,
        Ordered::StillFails(failure) => return Outcome::StillFails(failure),
        Ordered::Unknown => "there is no such error record".to_owned(),
        Ordered::NotOpen(status) => format!("the error record is {}", status.as_str()),
        Ordered::Refused(Refused::NotParked) => "the request is not parked".to_owned(),
        Ordered::Refused(Refused::NotDiscarded) => "the request is not discarded".to_owned(),
        Ordered::Refused(Refused::Superseded { by }) => {
            format!("request {by} of the same service point is newer; it took this one's place")
        }
    };
    Outcome::Refused(why)
}
