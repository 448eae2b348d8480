//! The other side of a lane is away: the lane pauses, parks what has waited for too long, and releases
//! that when the other side is back.
//!
//! When it began is in the store, and it is over once all of that is done: whoever dies or fails
//! between two of these steps goes on with the next one.

use jiff::{SignedDuration, Timestamp};

use super::dispatch::{Dispatch, Next};
use super::health::LaneHealth;
use super::ports::{Operator, Outage, StoreError};
use crate::domain::{ErrorId, Failure};

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

/// How many records are looked for at a time that an outage parked.
const PARKED_PAGE: u32 = 500;

/// How many rounds are between two trials, at the most: ten minutes with the usual
/// `unreachable.retry_max`. Whatever arrives meanwhile is tried at once.
const ROUNDS_MAX: u32 = 120;

/// Tries of a side that seems to be back, with one of those that its outage parked. Billing hears of
/// each that fails, so there are ever more rounds from one to the next.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// How many rounds are to pass after the last one.
    rounds: u32,
    /// How many of them have not yet.
    left: u32,
}

impl Trials {
    /// Whether it is time for one.
    fn is_due(&mut self) -> bool {
        let is_due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_due
    }

    fn begun(&mut self) {
        self.rounds = (2 * self.rounds).clamp(1, ROUNDS_MAX);
        self.left = self.rounds;
    }
}

impl Dispatch {
    /// Nothing to try it with: a lane that is out asks the broker instead. That does not know whether
    /// a queue is bound and has room, so of what is to be released one is tried before the others.
    pub(super) async fn nothing_waits(
        &self,
        outage: &mut Option<Outage>,
        trials: &mut Trials,
    ) -> Result<Next, StoreError> {
        let Some(Outage { since, .. }) = *outage else {
            self.health.lane(self.lane, LaneHealth::Open);
            return Ok(Next::Idle);
        };
        if let Err(failure) = self.publisher.probe().await {
            return self.unreachable(outage, failure).await;
        }
        if self.limits.release == Release::Auto {
            let first = self.store.parked_by_outage(self.lane, since, 1).await?;
            if !first.is_empty() && !trials.is_due() {
                return Ok(Next::BackOff);
            }
            if self.release(&first).await? > 0 {
                trials.begun();
                return Ok(Next::Again);
            }
        }
        self.reachable(outage).await?;
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
            self.park(&failure).await?;
        }
        Ok(Next::BackOff)
    }

    /// Parks what waits, and has billing told.
    async fn park(&self, failure: &Failure) -> Result<(), StoreError> {
        loop {
            let parked = self.store.park(self.lane, failure, self.limits.window).await?;
            if parked > 0 {
                point!("dispatch.parked" @ self.lane.as_str());
            }
            if parked < self.limits.window {
                break;
            }
        }
        Ok(())
    }

    fn lasted_too_long(&self, lasted: SignedDuration) -> bool {
        match self.limits.park_after {
            ParkAfter::After(limit) => lasted >= limit,
            ParkAfter::Never => false,
        }
    }

    /// The other side is there (again). The outage is over once what it parked is released: whoever
    /// dies or fails before that finds it still going on, and releases the rest.
    pub(super) async fn reachable(&self, outage: &mut Option<Outage>) -> Result<(), StoreError> {
        self.health.lane(self.lane, LaneHealth::Open);
        let Some(Outage { since, .. }) = *outage else { return Ok(()) };
        planted!("ends an outage too early", self.store.set_outage(self.lane, None).await?);
        if self.limits.release == Release::Auto {
            self.release_all(since).await?;
        }
        self.store.set_outage(self.lane, None).await?;
        *outage = None;
        point!("dispatch.resumed" @ self.lane.as_str());
        let lasted = self.clock.now().duration_since(since).as_secs();
        tracing::info!(lane = self.lane.as_str(), "resumed after {lasted} s");
        Ok(())
    }

    /// Takes up again what the outage parked.
    async fn release_all(&self, since: Timestamp) -> Result<(), StoreError> {
        loop {
            let ids = self.store.parked_by_outage(self.lane, since, PARKED_PAGE).await?;
            let mut released = 0;
            for some in ids.chunks(self.limits.window as usize) {
                released += self.release(some).await?;
            }
            if released == 0 {
                return Ok(());
            }
        }
    }

    /// Takes up again some of what the outage parked; how many.
    async fn release(&self, ids: &[ErrorId]) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let bridge = Operator {
            name: "tieline".to_owned(),
            reason: "the other side is reachable again (unreachable.release = \"auto\")".to_owned(),
        };
        point!("dispatch.releasing" @ self.lane.as_str());
        let tally = self.operations.retry(&bridge, ids).await?;
        point!("dispatch.released" @ self.lane.as_str());
        Ok(tally.done)
    }
}
