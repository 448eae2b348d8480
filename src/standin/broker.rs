//! Where a stand-in does its work: a broker, and the queues on it.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::tally::{Count, Live};
use crate::amqp::{Consumer, Endpoint, Publisher, RawMessage, Role, Topology, consumer, publisher};
use crate::bridge::{Lane, Properties};

/// How long a stand-in waits before it publishes again what was not confirmed.
const AGAIN_DELAY: Duration = Duration::from_millis(250);

/// A broker and the queues on it.
#[derive(Clone, Debug)]
pub struct Broker {
    pub endpoint: Endpoint,
    pub topology: Topology,
}

impl Broker {
    pub(super) fn consumer(&self, role: Role) -> Consumer {
        let settings = consumer::Settings::default();
        Consumer::new(self.endpoint.clone(), self.topology.queue(role), settings)
    }

    pub(super) fn outlet(&self) -> Outlet {
        // The lane decides the codes of failures only, and a stand-in publishes again whatever the
        // failure.
        let settings = publisher::Settings::default();
        let (endpoint, topology) = (self.endpoint.clone(), self.topology.clone());
        Outlet(Publisher::new(endpoint, topology, Lane::Note, settings))
    }
}

/// A message on its way out, with what its sender remembers about it.
pub(super) type Letter<T> = (T, RawMessage);

/// Publishes until the broker has confirmed everything.
pub(super) struct Outlet(Publisher);

impl Outlet {
    /// Publishes messages in order. What is not confirmed is published again, the same bytes under
    /// the same id, for a real sender knows no better either. `told` hears of every publish, with
    /// why it is in doubt if it is. Gives back what was still in doubt at `stop`.
    pub(super) async fn publish<T>(
        &self,
        letters: Vec<Letter<T>>,
        live: &Live,
        stop: &CancellationToken,
        told: impl Fn(&T, Result<(), &str>),
    ) -> Vec<Letter<T>> {
        let (mut about, mut messages): (Vec<_>, Vec<_>) = letters.into_iter().unzip();
        loop {
            live.add_many(Count::Sent, messages.len() as u64);
            let results = self.0.publish_raw(&messages).await;
            if let Some(Err(failure)) = results.iter().find(|result| result.is_err()) {
                tracing::warn!("published again: {}", failure.detail);
            }
            let mut in_doubt = results.iter().map(Result::is_err);
            for (about, result) in about.iter().zip(&results) {
                match result {
                    Ok(()) => told(about, Ok(())),
                    Err(failure) => told(about, Err(&failure.detail)),
                }
            }
            let mut stays_in_doubt = in_doubt.clone();
            messages.retain(|_| in_doubt.next().unwrap_or(false));
            about.retain(|_| stays_in_doubt.next().unwrap_or(false));
            live.add_many(Count::Confirmed, (results.len() - messages.len()) as u64);
            if messages.is_empty() {
                return Vec::new();
            }
            tokio::select! {
                () = sleep(AGAIN_DELAY) => {}
                () = stop.cancelled() => return about.into_iter().zip(messages).collect(),
            }
            live.add_many(Count::SentAgain, messages.len() as u64);
        }
    }

    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

/// A message to a queue by its name, which a sender publishes to the default exchange.
pub(super) fn to_queue(queue: &str, properties: Properties, payload: Vec<u8>) -> RawMessage {
    let (exchange, routing_key) = (String::new(), queue.to_owned());
    RawMessage { exchange, routing_key, properties, payload, mandatory: true }
}
