//! A request comes in: translated, recorded once, then settled by the consumer (Idempotent
//! Receiver). After a crash before the record the broker has it still; after the record its
//! identity is known, and a redelivery changes nothing.

use std::sync::Arc;

use super::message::{Arrival, header};
use super::ports::{Clock, Handler, NewRequest, Receiving, Recorded, Store};
use super::trace::{Span, Step, TraceParent, Tracer};
use super::transforms::Transforms;
use crate::domain::{Digest, Failure, FailureCode, RequestId};
use crate::transform::{Catalog, ContentType};

/// Takes requests from the request queue.
pub struct Intake {
    pub store: Arc<dyn Store>,
    pub transforms: Arc<Transforms>,
    pub tracer: Arc<dyn Tracer>,
    pub clock: Arc<dyn Clock>,
}

impl Handler for Intake {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        let catalog = self.transforms.current();
        let requests =
            batch.into_iter().map(|arrival| self.traced(request(&catalog, arrival))).collect();
        Box::pin(async move {
            point!("intake.translated");
            let recorded = self.store.record(requests).await?;
            recorded.iter().for_each(count);
            Ok(())
        })
    }
}

impl Intake {
    /// Opens the request's trace, or continues that of billing.
    fn traced(&self, mut request: NewRequest) -> NewRequest {
        let parent = request.arrival.properties.header(header::TRACEPARENT);
        let parent = parent.and_then(|text| text.parse().ok());
        let parent = parent.unwrap_or_else(|| TraceParent::of_request(request.id));
        let attributes: Vec<_> =
            if self.tracer.is_on() { attributes(&request) } else { Vec::new() };
        let span = Span {
            step: Step::ReceiveRequest,
            parent,
            began_at: self.clock.now(),
            attributes: &attributes,
        };
        request.trace = Some(self.tracer.record(&span).to_string());
        request
    }
}

/// Translates an arrival and makes the request of it. A message that cannot be translated becomes
/// a request too: one that is born parked.
pub fn request(catalog: &Catalog, arrival: Arrival) -> NewRequest {
    let content = ContentType {
        content_type: arrival.properties.content_type.as_deref(),
        content_encoding: arrival.properties.content_encoding.as_deref(),
    };
    let translated = catalog.translate(&arrival.payload, &content);
    let content: &[u8] = if planted!("knows no corrections") { b"" } else { &arrival.payload };
    let id = RequestId::derive(
        translated.sync_request.as_ref(),
        translated.revision.created_at,
        &Digest::of(content),
    );
    let properties = &arrival.properties;
    let reply_correlation = properties
        .correlation_id
        .clone()
        .or_else(|| properties.message_id.clone())
        .or_else(|| translated.sync_request.as_ref().map(ToString::to_string));
    let unreadable = arrival.properties.unreadable.as_ref().map(|what| {
        Failure::new(FailureCode::UnreadableProperties, format!("message properties: {what}"))
    });
    NewRequest {
        id,
        arrival,
        sync_request: translated.sync_request,
        service_point: translated.service_point,
        revision: translated.revision,
        translation: unreadable.map_or(translated.outcome, Err),
        reply_correlation,
        trace: None,
    }
}

fn attributes(request: &NewRequest) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("messaging.system", "rabbitmq".to_owned()),
        ("tieline.request.id", request.id.to_string()),
    ];
    if let Some(id) = &request.sync_request {
        attributes.push(("tieline.sync_request.id", id.to_string()));
    }
    if let Some(id) = &request.service_point {
        attributes.push(("tieline.service_point.id", id.to_string()));
    }
    if let Err(failure) = &request.translation {
        attributes.push(("tieline.failure.code", failure.code.to_string()));
    }
    attributes
}

fn count(recorded: &Recorded) {
    let result = match recorded {
        Recorded::New { state, .. } => state,
        Recorded::Known { revived: true, .. } => "revived",
        Recorded::Known { .. } => "known",
    };
    metrics::counter!("tieline_requests_received_total", "result" => result).increment(1);
}
