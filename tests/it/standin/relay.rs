//! A relay in the bridge's place: no store, no rules, no mapping.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tieline::amqp::consumer::{Consumer, Settings};
use tieline::amqp::{Endpoint, Publisher, RawMessage};
use tieline::bridge::message::header;
use tieline::bridge::ports::{Handler, Receiving};
use tieline::bridge::{Arrival, HeaderValue, Lane, Properties};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::amqp::bench::publisher;

/// How the relay behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Conduct {
    /// As the bridge must.
    Well,
    /// It repeats ids with other bytes, sends what is old and tells what nobody asked.
    Badly,
    /// It takes everything and passes on nothing.
    Not,
}

pub(crate) struct Relay(Vec<JoinHandle<()>>);

impl Relay {
    pub(crate) fn start(endpoint: &Endpoint, conduct: Conduct, stop: &CancellationToken) -> Self {
        let shared = Arc::new(Shared { conduct, requests: Mutex::default() });
        let tasks = [("ccb.sp.request", Leg::Request), ("wam.location.ack", Leg::Answer)];
        let consume = |(queue, leg)| {
            let outlet = publisher(endpoint, Lane::Location);
            let handler = Arc::new(Desk { leg, outlet, shared: Arc::clone(&shared) });
            let consumer = Consumer::new(endpoint.clone(), queue, Settings::default());
            tokio::spawn(consumer.run(handler, stop.clone()))
        };
        Self(tasks.into_iter().map(consume).collect())
    }

    pub(crate) async fn end(self) {
        for task in self.0 {
            task.await.unwrap();
        }
    }
}

struct Shared {
    conduct: Conduct,
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    seen: HashSet<Vec<u8>>,
    /// Message id of the location, sync request id, correlation of the reply.
    sent: Vec<(String, String, String)>,
    told: HashSet<(String, Vec<u8>)>,
}

#[derive(Clone, Copy)]
enum Leg {
    Request,
    Answer,
}

struct Desk {
    leg: Leg,
    outlet: Publisher,
    shared: Arc<Shared>,
}

impl Handler for Desk {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        Box::pin(async move {
            let mut out = Vec::new();
            for arrival in batch {
                match (self.shared.conduct, self.leg) {
                    (Conduct::Not, _) => {}
                    (_, Leg::Request) => out.extend(self.location(&arrival)),
                    (_, Leg::Answer) => out.extend(self.reply(&arrival)),
                }
            }
            for result in self.outlet.publish_raw(&out).await {
                result.unwrap();
            }
            Ok(())
        })
    }
}

impl Desk {
    fn location(&self, arrival: &Arrival) -> Vec<RawMessage> {
        let mut requests = self.shared.requests.lock().unwrap();
        if !requests.seen.insert(arrival.payload.clone()) {
            return Vec::new();
        }
        let text = String::from_utf8(arrival.payload.clone()).unwrap();
        let (id, point) = (element(&text, "syncRequestId"), element(&text, "spId"));
        let number = requests.sent.len();
        let message = format!("00000000-0000-5000-8000-{number:012}");
        let known = arrival.properties.clone();
        let correlation =
            known.correlation_id.or(known.message_id).unwrap_or_else(|| id.to_owned());
        requests.sent.push((message.clone(), id.to_owned(), correlation));
        let location = |message: &str, description: &str| {
            let body = format!(
                "<W1-SyncRequestInbound xmlns=\"urn:tieline:wam:sync-inbound:1\">\
                 <externalReferenceId>{id}</externalReferenceId>\
                 <externalPkValue1>{point}</externalPkValue1><location>\
                 <description>{description}</description></location></W1-SyncRequestInbound>"
            );
            let mut raw = raw("wam.location.request", message, message, body);
            raw.properties.reply_to = Some("wam.location.ack".to_owned());
            raw.properties.headers = headers(&[
                (header::REQUEST, message),
                (header::SYNC_REQUEST, id),
                (header::SERVICE_POINT, point),
            ]);
            raw
        };
        let mut out = vec![location(&message, element(&text, "description"))];
        if self.shared.conduct == Conduct::Badly && number == 7 {
            out.push(location(&message, "Other, rev 1"));
            out.push(location("00000000-0000-5000-9000-000000000000", "Older, rev 0"));
        }
        out
    }

    fn reply(&self, arrival: &Arrival) -> Vec<RawMessage> {
        let mut requests = self.shared.requests.lock().unwrap();
        let Ok(text) = String::from_utf8(arrival.payload.clone()) else { return Vec::new() };
        let (correlation, reference) =
            (arrival.properties.correlation_id.as_deref(), element(&text, "externalReferenceId"));
        let is_told = |back: &str| requests.told.iter().any(|(told, _)| told == back);
        let of_answer = |(message, id, back): &&(String, String, String)| match correlation {
            Some(correlation) => correlation == message,
            None => id == reference && !is_told(back),
        };
        let Some((_, id, back)) = requests.sent.iter().find(of_answer).cloned() else {
            return Vec::new();
        };
        if !requests.told.insert((back.clone(), arrival.payload.clone())) {
            return Vec::new();
        }
        let number = requests.told.len();
        let (outcome, rest) = if text.contains("<hasError>true") {
            let reason = "<hasError>true</hasError><exceptionInfo><items><messageCategory>11114\
                </messageCategory><messageNumber>1</messageNumber></items></exceptionInfo>";
            ("rejected", reason.to_owned())
        } else {
            let key = element(&text, "productionPkValue1");
            let keys = format!("<items><externalPk1>{key}</externalPk1></items>");
            ("applied", format!("<hasError>false</hasError><externalIds>{keys}</externalIds>"))
        };
        let reply = |message: &str, id: &str| {
            let body = format!(
                "<F1-UpdateAndTransitionSyncRequest xmlns=\"urn:tieline:ccb:sync-ack:1\">\
                 <syncRequestId>{id}</syncRequestId>{rest}</F1-UpdateAndTransitionSyncRequest>"
            );
            let mut raw = raw("ccb.sp.ack", message, &back, body);
            raw.properties.headers = headers(&[(header::OUTCOME, outcome)]);
            raw
        };
        let message = format!("reply-{number}");
        let mut out = vec![reply(&message, &id)];
        if self.shared.conduct == Conduct::Badly && number == 7 {
            out.push(reply(&message, "1"));
            out.push(reply("reply-to-nobody", "1"));
        }
        out
    }
}

fn raw(queue: &str, message: &str, correlation: &str, body: String) -> RawMessage {
    RawMessage {
        exchange: String::new(),
        routing_key: queue.to_owned(),
        properties: Properties {
            content_type: Some("application/xml".to_owned()),
            delivery_mode: Some(2),
            message_id: Some(message.to_owned()),
            correlation_id: Some(correlation.to_owned()),
            ..Properties::default()
        },
        payload: body.into_bytes(),
        mandatory: true,
    }
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, HeaderValue)> {
    let header =
        |(name, value): &(&str, &str)| ((*name).to_owned(), HeaderValue::Text((*value).to_owned()));
    pairs.iter().map(header).collect()
}

/// The text of the first element of this name.
fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let begin = text.find(&format!("<{name}>")).map_or(0, |at| at + name.len() + 2);
    let end = text[begin..].find("</").unwrap_or(0);
    &text[begin..begin + end]
}
