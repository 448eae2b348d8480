//! Notes when billing's and asset management's side are different brokers: each goes to the broker
//! that has the error queue of its leg.

use std::sync::Arc;

use async_trait::async_trait;

use crate::bridge::{Leased, Publisher, What};
use crate::domain::{Failure, Leg};

/// Publishes notes of the request leg on billing's side, those of the answer leg on the other.
pub(super) struct TwoSided {
    pub(super) billing: Arc<dyn Publisher>,
    pub(super) assets: Arc<dyn Publisher>,
}

#[async_trait]
impl Publisher for TwoSided {
    /// One side is enough: what the other one should take comes back as unreachable and waits.
    async fn open(&self) -> Result<(), Failure> {
        match self.billing.open().await {
            Ok(()) => Ok(()),
            Err(failure) => self.assets.open().await.map_err(|_| failure),
        }
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.billing.probe().await?;
        self.assets.probe().await
    }

    async fn publish(&self, window: &[Leased]) -> Vec<Result<(), Failure>> {
        let (billing, assets): (Vec<_>, Vec<_>) = window.iter().cloned().partition(of_billing);
        let mut to_billing = self.billing.publish(&billing).await.into_iter();
        let mut to_assets = self.assets.publish(&assets).await.into_iter();
        let results = window
            .iter()
            .filter_map(|one| if of_billing(one) { to_billing.next() } else { to_assets.next() });
        results.collect()
    }
}

fn of_billing(leased: &Leased) -> bool {
    match &leased.message.what {
        What::Note { leg, .. } => matches!(leg, Leg::Request | Leg::Location),
        What::Location { .. } | What::Reply { .. } => true,
    }
}
