//! The other side of a lane is away: the lane pauses, parks what has waited for too long, and releases
//! that when the other side is back.
//!
//! When it began is in the store, so that a restart does not forget it.

use jiff::{SignedDuration, Timestamp};

use super::dispatch::{Dispatch, Next};
use super::health::LaneHealth;
use super::ports::{Operator, Outage, StoreError};
use crate::domain::Failure;

/// How long an outage may last before what waits is parked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParkAfter {
    /// After this long; zero means at once.
    After(SignedDuration),
    /// Never: it waits as long as it takes.
    Never,
}

/// Who takes up again what an outage parked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// An operator.
    Manual,
    /// The bridge, when the other side is back.
    Auto,
}

/// How many messages one round parks or releases.
const PARK_CHUNK: u32 = 500;

impl Dispatch {
    /// Nothing to try it with: a lane that is out asks the broker instead.
    pub(super) async fn nothing_waits(
        &self,
        outage: &mut Option<Outage>,
    ) -> Result<Next, StoreError> {
        if outage.is_some() {
            match self.publisher.probe().await {
                Ok(()) => self.reachable(outage).await?,
                Err(failure) => return self.unreachable(outage, failure).await,
            }
        } else {
            self.health.lane(self.lane, LaneHealth::Open);
        }
        Ok(Next::Idle)
    }

    /// The other side is away: pause, and park when it has lasted too long.
    pub(super) async fn unreachable(
        &self,
        outage: &mut Option<Outage>,
        failure: Failure,
    ) -> Result<Next, StoreError> {
        let now = self.clock.now();
        let since = outage.as_ref().map_or(now, |outage| outage.since);
        // Told once for each reason: a queue that is missing must not hide behind the connection that
        // was lost before.
        if outage.as_ref().is_none_or(|outage| outage.failure.code != failure.code) {
            let new = Outage { since, failure: failure.clone() };
            self.store.set_outage(self.lane, Some(new.clone())).await?;
            point!("dispatch.paused" @ self.lane.as_str());
            tracing::warn!(
                lane = self.lane.as_str(),
                failure.code = failure.code.as_str(),
                "{}: {}",
                if outage.is_none() { "paused" } else { "still paused" },
                failure.detail
            );
            *outage = Some(new);
        }
        self.health.lane(self.lane, LaneHealth::Out { since, failure: failure.clone() });
        if self.lasted_too_long(now.duration_since(since)) {
            while self.store.park(self.lane, &failure, PARK_CHUNK).await? == PARK_CHUNK {}
            self.pokes.reply.notify_one();
            self.pokes.note.notify_one();
        }
        Ok(Next::BackOff)
    }

    fn lasted_too_long(&self, lasted: SignedDuration) -> bool {
        match self.limits.park_after {
            ParkAfter::After(limit) => lasted >= limit,
            ParkAfter::Never => false,
        }
    }

    /// The other side is there (again).
    pub(super) async fn reachable(&self, outage: &mut Option<Outage>) -> Result<(), StoreError> {
        self.health.lane(self.lane, LaneHealth::Open);
        let Some(over) = outage.take() else { return Ok(()) };
        self.store.set_outage(self.lane, None).await?;
        point!("dispatch.resumed" @ self.lane.as_str());
        let lasted = self.clock.now().duration_since(over.since).as_secs();
        tracing::info!(lane = self.lane.as_str(), "resumed after {lasted} s");
        if self.limits.release == Release::Auto {
            self.release(over.since).await?;
        }
        Ok(())
    }

    /// Takes up again what the outage parked.
    async fn release(&self, since: Timestamp) -> Result<(), StoreError> {
        let bridge = Operator {
            name: "tieline".to_owned(),
            reason: "the other side is reachable again (unreachable.release = \"auto\")".to_owned(),
        };
        loop {
            let ids = self.store.parked_by_outage(self.lane, since, PARK_CHUNK).await?;
            if ids.is_empty() {
                return Ok(());
            }
            let done = self.operations.retry(&bridge, &ids).await?;
            if done.done == 0 {
                return Ok(());
            }
        }
    }
}
