//! What is late: requests whose answer is overdue. Nothing is invented; they are listed and
//! alarmed, and those that waited behind them go on.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::ports::{Store, StoreError};

/// How many requests one round marks.
const CHUNK: u32 = 500;

/// The loop that looks for what is late.
pub struct Sweep {
    pub store: Arc<dyn Store>,
    pub health: Arc<Health>,
    pub every: Duration,
}

impl Sweep {
    /// Runs until the stop.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            if let Err(error) = self.round().await {
                self.health.store_failed(&error);
                tracing::error!(%error, "the store failed");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.every) => {}
            }
        }
        Ok(())
    }

    /// One round: marks all that is overdue now.
    pub async fn round(&self) -> Result<(), StoreError> {
        loop {
            let swept = self.store.sweep(CHUNK).await?;
            self.health.store_works();
            metrics::counter!("tieline_answers_overdue_total")
                .increment(swept.overdue.len() as u64);
            if !swept.overdue.is_empty() {
                point!("sweep.marked");
            }
            if !swept.more {
                break;
            }
        }
        self.health.counted(self.store.counts().await?);
        Ok(())
    }
}
