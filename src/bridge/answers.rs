//! Asset management answers: the answer is correlated with its request, the verdict and the reply
//! to billing are recorded in one transaction, then the delivery is settled (Correlation
//! Identifier). What cannot be read, matched or believed goes to the error queue.

use std::sync::Arc;

use super::message::{Arrival, header};
use super::ports::{Clock, Handler, NewAnswer, Receiving, Settled, Store};
use super::trace::{Span, Step, TraceParent, Tracer};
use super::transforms::Transforms;
use crate::domain::{Answer, AnswerId, Digest, Failure, FailureCode};
use crate::transform::{Catalog, ContentType};

/// Takes answers from the answer queue.
pub struct Answers {
    pub store: Arc<dyn Store>,
    pub transforms: Arc<Transforms>,
    pub tracer: Arc<dyn Tracer>,
    pub clock: Arc<dyn Clock>,
    /// The broker user of asset management, if answers of others are to be refused. The broker
    /// vouches for the `user_id` property (<https://www.rabbitmq.com/docs/validated-user-id>).
    pub user: Option<String>,
}

impl Handler for Answers {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        let began_at = self.clock.now();
        let catalog = self.transforms.current();
        let user = self.user.as_deref();
        let answers =
            batch.into_iter().map(|arrival| answer(&catalog, arrival, user)).collect::<Vec<_>>();
        Box::pin(async move {
            point!("answers.read");
            let settled = self.store.settle(answers).await?;
            for one in &settled {
                count(one);
                if self.tracer.is_on() {
                    self.trace(one, began_at);
                }
            }
            Ok(())
        })
    }
}

impl Answers {
    fn trace(&self, settled: &Settled, began_at: jiff::Timestamp) {
        let Settled::Moved { request, state, trace, .. } = settled else { return };
        let parent = trace.as_deref().and_then(|text| text.parse().ok());
        let span = Span {
            step: Step::ReceiveAnswer,
            parent: parent.unwrap_or_else(|| TraceParent::of_request(*request)),
            began_at,
            attributes: &[
                ("messaging.system", "rabbitmq".to_owned()),
                ("tieline.request.id", request.to_string()),
                ("tieline.state", (*state).to_owned()),
            ],
        };
        self.tracer.record(&span);
    }
}

/// Reads an arrival as an answer. One that cannot be read becomes an answer too: one that goes to
/// the error queue.
pub fn answer(catalog: &Catalog, arrival: Arrival, user: Option<&str>) -> NewAnswer {
    let correlation = arrival.properties.correlation_id.as_deref();
    NewAnswer {
        id: AnswerId::derive(correlation, &Digest::of(&arrival.payload)),
        read: whole(&arrival)
            .and_then(|()| genuine(&arrival, user))
            .and_then(|()| read(catalog, &arrival)),
        trace: arrival.properties.header(header::TRACEPARENT).map(str::to_owned),
        arrival,
    }
}

/// Reads the body; whom it answers is told by the correlation id, if that can be one of ours.
pub fn read(catalog: &Catalog, arrival: &Arrival) -> Result<Answer, Failure> {
    let content = ContentType {
        content_type: arrival.properties.content_type.as_deref(),
        content_encoding: arrival.properties.content_encoding.as_deref(),
    };
    let mut answer = catalog.read_answer(&arrival.payload, &content)?;
    let correlation = arrival.properties.correlation_id.as_deref();
    answer.reference.message = correlation.and_then(|id| id.parse().ok());
    planted!("takes a refusal for a success", answer.verdict = crate::domain::Verdict::Positive);
    Ok(answer)
}

fn whole(arrival: &Arrival) -> Result<(), Failure> {
    let Some(what) = &arrival.properties.unreadable else { return Ok(()) };
    let code = FailureCode::AnswerPropertiesUnreadable;
    Err(Failure::new(code, format!("message properties: {what}")))
}

fn genuine(arrival: &Arrival, expected: Option<&str>) -> Result<(), Failure> {
    let Some(expected) = expected else { return Ok(()) };
    let found = arrival.properties.user_id.as_deref();
    if found == Some(expected) {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), |user| format!("'{user}'"));
    Err(Failure::new(
        FailureCode::AnswerSpoofed,
        format!("property user_id of the answer: found {found}, expected '{expected}'"),
    ))
}

fn count(settled: &Settled) {
    let result = match settled {
        Settled::Moved { state, .. } => state,
        Settled::Ignored { .. } => "ignored",
        Settled::Parked { .. } => "parked",
        Settled::ParkedBefore { .. } => "known",
    };
    metrics::counter!("tieline_answers_received_total", "result" => result).increment(1);
}
