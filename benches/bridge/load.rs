//! What goes in: service point requests as billing's stand-in makes them, from a fixed seed.

use std::sync::Arc;

use lapin::BasicProperties;
use tieline::standin::plan::{Mix, Plan, Planned};

use crate::Result;
use crate::site::queue;
use crate::wire::{Letter, Wire};

/// What every run's requests follow from.
pub(crate) const SEED: u64 = 20_250_314;

/// The requests of a run.
pub(crate) struct Load {
    requests: Vec<Request>,
}

/// A request and the ids that go along.
pub(crate) struct Request {
    pub(crate) message_id: String,
    pub(crate) correlation: String,
    pub(crate) payload: Arc<[u8]>,
}

impl Load {
    /// So many good requests, each of a service point of its own.
    pub(crate) fn good(number: u64) -> Self {
        Self::of(number, Mix::GOOD)
    }

    /// So many requests of this kind.
    pub(crate) fn of(number: u64, mix: Mix) -> Self {
        Self { requests: Plan::new(SEED, number, mix).map(Request::of).collect() }
    }

    /// So many good requests of other service points and under other ids than those of any other
    /// `run`, of which there may be some hundreds.
    pub(crate) fn good_of_run(run: u64, number: u64) -> Self {
        Self { requests: Plan::new(SEED + 1 + run, number, Mix::GOOD).map(Request::of).collect() }
    }

    /// How many.
    pub(crate) fn number(&self) -> u64 {
        self.requests.len() as u64
    }

    /// The requests, in their order.
    pub(crate) fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The mean size of a request.
    #[expect(clippy::cast_precision_loss, reason = "sizes in memory")]
    pub(crate) fn bytes_mean(&self) -> f64 {
        let bytes: usize = self.requests.iter().map(|request| request.payload.len()).sum();
        bytes as f64 / self.requests.len().max(1) as f64
    }

    /// Publishes all to the request queue and returns when the broker has them.
    pub(crate) async fn fill(&self, wire: &Wire) -> Result<()> {
        let mut pipeline = wire.pipeline();
        for request in &self.requests {
            while pipeline.is_full() {
                pipeline.confirmed().await?;
            }
            pipeline.publish(request.letter(), ());
        }
        while !pipeline.is_empty() {
            pipeline.confirmed().await?;
        }
        Ok(())
    }
}

impl Request {
    fn of(planned: Planned) -> Self {
        Self {
            message_id: planned.message_id(),
            correlation: planned.correlation(),
            payload: planned.payload.into(),
        }
    }

    /// The request as billing publishes it.
    pub(crate) fn letter(&self) -> Letter {
        Letter {
            exchange: "",
            key: queue::REQUEST,
            properties: self.properties(self.correlation.as_str()),
            payload: Arc::clone(&self.payload),
        }
    }

    fn properties(&self, correlation: &str) -> BasicProperties {
        BasicProperties::default()
            .with_content_type("application/xml".into())
            .with_delivery_mode(2)
            .with_message_id(self.message_id.as_str().into())
            .with_correlation_id(correlation.into())
            .with_type("spSyncRequest".into())
            .with_app_id("OU_CCB_01".into())
    }
}
