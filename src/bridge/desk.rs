//! The desk: takes in what arrives on an error queue. A copy of what is recorded is settled;
//! anything else (dead-lettered by the broker, moved by a person, foreign) becomes a record, so
//! that nothing lies on a queue unseen.

use std::sync::Arc;

use super::message::{Arrival, header};
use super::ports::{Handler, Receiving, Returned, Store, StoreError, TakenIn, TookIn};
use super::transforms::Transforms;
use super::{answers, intake};
use crate::domain::{ErrorId, Failure, FailureCode, Leg, MessageId};

/// The header that tells from which queue the broker dead-lettered a message, and why
/// (<https://www.rabbitmq.com/docs/dlx#effects>).
const FIRST_DEATH_QUEUE: &str = "x-first-death-queue";
const FIRST_DEATH_REASON: &str = "x-first-death-reason";

/// Takes messages from the error queue of one leg.
pub struct QueueDesk {
    pub store: Arc<dyn Store>,
    pub transforms: Arc<Transforms>,
    /// Of the request leg, or of the answer leg.
    pub leg: Leg,
}

impl Handler for QueueDesk {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        Box::pin(self.take_in(batch))
    }
}

impl QueueDesk {
    async fn take_in(&self, batch: Vec<Arrival>) -> Result<(), StoreError> {
        let mut taken = Vec::with_capacity(batch.len());
        for arrival in &batch {
            taken.push(self.look_at(arrival.clone()).await?);
        }
        point!("desk.looked" @ self.leg.as_str());
        let mut took_in = self.store.take_in(taken).await?;
        // What came back and is not known here, because the store was put back or set up anew, is
        // the only copy there is.
        let unknown = batch.into_iter().zip(&took_in);
        let unknown = unknown.filter(|(_, one)| **one == TookIn::Unknown);
        let foreign: Vec<_> = unknown.map(|(arrival, _)| self.foreign(arrival)).collect();
        if !foreign.is_empty() {
            took_in.extend(self.store.take_in(foreign).await?);
        }
        let opened = took_in.iter().filter(|one| matches!(one, TookIn::Opened(_))).count();
        metrics::counter!("tieline_desk_total", "leg" => self.leg.as_str(), "result" => "opened")
            .increment(opened as u64);
        metrics::counter!("tieline_desk_total", "leg" => self.leg.as_str(), "result" => "known")
            .increment((took_in.len() - opened) as u64);
        Ok(())
    }

    async fn look_at(&self, arrival: Arrival) -> Result<TakenIn, StoreError> {
        if let Some(error) = self.recorded(&arrival).await? {
            return Ok(TakenIn::Note { error });
        }
        let returned = returned(&arrival, origin(&arrival, self.leg));
        Ok(returned.unwrap_or_else(|| self.foreign(arrival)))
    }

    /// A message that no record is about.
    fn foreign(&self, arrival: Arrival) -> TakenIn {
        let origin = origin(&arrival, self.leg);
        let failure = why_here(&arrival, origin);
        match origin.0 {
            Leg::Request | Leg::Location => {
                let request = intake::request(&self.transforms.current(), arrival);
                TakenIn::Request { request: Box::new(request), failure }
            }
            Leg::Answer | Leg::Reply => {
                let answer = answers::answer(&self.transforms.current(), arrival, None);
                TakenIn::Answer { answer: Box::new(answer), failure }
            }
        }
    }

    /// The record that a note is a copy of. A note of an error record that this store does not
    /// have (the store was put back) is news like any other message.
    async fn recorded(&self, arrival: &Arrival) -> Result<Option<ErrorId>, StoreError> {
        let id = arrival.properties.header(header::ERROR).and_then(|text| text.parse().ok());
        let Some(id) = id else { return Ok(None) };
        Ok(self.store.error(id).await?.map(|error| error.id))
    }
}

/// Whether the broker put the message here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Broker,
    Somebody,
}

/// From which leg it came: the broker keeps that in the routing key that the topology gave it
/// (`<leg>.dead`).
fn origin(arrival: &Arrival, desk: Leg) -> (Leg, Sender) {
    let dead = arrival.properties.header(FIRST_DEATH_QUEUE).is_some();
    let sender = if dead { Sender::Broker } else { Sender::Somebody };
    let key = arrival.properties.routing_key.as_str();
    let legs = [Leg::Request, Leg::Location, Leg::Answer, Leg::Reply];
    let named = legs.into_iter().find(|leg| key.split('.').next() == Some(leg.as_str()));
    (named.unwrap_or(desk), sender)
}

/// What tieline itself had published and what came back from the other side's queue.
fn returned(arrival: &Arrival, (leg, sender): (Leg, Sender)) -> Option<TakenIn> {
    if sender != Sender::Broker {
        return None;
    }
    let message: MessageId = arrival.properties.message_id.as_deref()?.parse().ok()?;
    let reason = reason(arrival);
    match leg {
        Leg::Location => Some(TakenIn::Returned {
            message,
            about: Returned::Location(message.request()),
            failure: Failure::new(
                FailureCode::LocationDeadLettered,
                format!("asset location {message} came back from asset management: {reason}"),
            ),
        }),
        Leg::Reply => Some(TakenIn::Returned {
            message,
            about: Returned::Reply(arrival.properties.header(header::REQUEST)?.parse().ok()?),
            failure: Failure::new(
                FailureCode::ReplyDeadLettered,
                format!("reply {message} came back from billing: {reason}"),
            ),
        }),
        Leg::Request | Leg::Answer => None,
    }
}

/// Why a message that the bridge never recorded is on the error queue.
fn why_here(arrival: &Arrival, (leg, sender): (Leg, Sender)) -> Failure {
    match (sender, leg) {
        (Sender::Broker, Leg::Request | Leg::Location) => {
            Failure::new(FailureCode::RequestDeadLettered, reason(arrival))
        }
        (Sender::Broker, Leg::Answer | Leg::Reply) => {
            Failure::new(FailureCode::AnswerDeadLettered, reason(arrival))
        }
        (Sender::Somebody, Leg::Request | Leg::Location | Leg::Answer | Leg::Reply) => {
            Failure::new(
                FailureCode::Foreign,
                format!(
                    "published to exchange '{}' with key '{}' by somebody else than the bridge",
                    arrival.properties.exchange, arrival.properties.routing_key
                ),
            )
        }
    }
}

/// The broker's reason, in a sentence.
fn reason(arrival: &Arrival) -> String {
    let queue = arrival.properties.header(FIRST_DEATH_QUEUE).unwrap_or("a queue it does not name");
    let reason = match arrival.properties.header(FIRST_DEATH_REASON) {
        Some("delivery_limit") => "it was delivered more often than the delivery limit allows",
        Some("rejected") => "its consumer rejected it",
        Some("expired") => "it expired",
        Some("maxlen") => "the queue was full",
        Some(other) => other,
        None => "the broker gave no reason",
    };
    format!("dead-lettered from {queue}: {reason}")
}
