//! How it all stands: what is up, what waits, how old the oldest is.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ports::{Counts, Lane, StoreError};
use crate::domain::Failure;

/// The state of a lane.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum LaneHealth {
    /// Not tried yet.
    #[default]
    Unknown,
    /// The other side is there.
    Open,
    /// The other side is away.
    Out { since: Timestamp, failure: Failure },
}

/// What the loops report and `/health/ready` tells.
#[derive(Default)]
pub struct Health {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    store_error: Option<String>,
    lanes: [LaneHealth; 3],
    counts: Option<Counts>,
    /// When the fence was written last, or why it could not be.
    fence: Option<Result<Timestamp, String>>,
    /// When the fence was known last to tell of all that is in the store; at first, since when it is
    /// not.
    fence_kept: Option<Instant>,
}

/// One line of the health report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

impl Health {
    /// The store did its work.
    pub fn store_works(&self) {
        self.lock().store_error = None;
    }

    /// The store did not.
    pub fn store_failed(&self, error: &StoreError) {
        self.lock().store_error = Some(error.to_string());
    }

    /// The fence was written, or could not be.
    pub fn fence(&self, written: Result<Timestamp, String>) {
        let mut inner = self.lock();
        if written.is_ok() || inner.fence_kept.is_none() {
            inner.fence_kept = Some(Instant::now());
        }
        inner.fence = Some(written);
    }

    /// The fence tells of all that is in the store, without having been written again.
    pub fn fence_is_kept(&self) {
        self.lock().fence_kept = Some(Instant::now());
    }

    /// Sets the metrics that grow by themselves, before they are read.
    pub fn tell_ages(&self) {
        if let Some(kept) = self.lock().fence_kept {
            metrics::gauge!("tieline_fence_age_seconds").set(kept.elapsed().as_secs_f64());
        }
    }

    /// How a lane stands.
    pub fn lane(&self, lane: Lane, health: LaneHealth) {
        let open = if matches!(health, LaneHealth::Out { .. }) { 0.0 } else { 1.0 };
        metrics::gauge!("tieline_lane_open", "lane" => lane.as_str()).set(open);
        self.lock().lanes[lane as usize] = health;
    }

    /// What stands in the store.
    pub fn counted(&self, counts: Counts) {
        for (state, count) in &counts.requests {
            gauge("tieline_requests", "state", (*state).to_owned(), *count);
        }
        for (lane, count) in &counts.outbox {
            gauge("tieline_outbox", "lane", (*lane).to_owned(), *count);
        }
        let open: u64 = counts.errors_open.iter().map(|(_, count)| count).sum();
        let mut by_code = std::collections::BTreeMap::new();
        for (group, count) in &counts.errors_open {
            *by_code.entry(group.code).or_insert(0) += count;
        }
        for code in crate::domain::FailureCode::ALL {
            let count = by_code.get(code).copied().unwrap_or(0);
            gauge("tieline_errors_open", "code", code.as_str().to_owned(), count);
        }
        gauge("tieline_errors", "status", "open".to_owned(), open);
        self.lock().counts = Some(counts);
    }

    /// The report: the store, then each lane.
    pub fn report(&self) -> Vec<Check> {
        let inner = self.lock();
        let mut checks = vec![Check {
            name: "store".to_owned(),
            ok: inner.store_error.is_none(),
            detail: inner.store_error.clone().unwrap_or_else(|| "works".to_owned()),
        }];
        for lane in [Lane::Location, Lane::Reply, Lane::Note] {
            let (ok, detail) = match &inner.lanes[lane as usize] {
                LaneHealth::Unknown => (true, "not tried yet".to_owned()),
                LaneHealth::Open => (true, "open".to_owned()),
                LaneHealth::Out { since, failure } => {
                    (false, format!("out since {since}: {} {}", failure.code, failure.detail))
                }
            };
            checks.push(Check { name: format!("lane {}", lane.as_str()), ok, detail });
        }
        if let Some(fence) = &inner.fence {
            let detail = match fence {
                Ok(at) => format!("written {at}"),
                // The bridge works without it.
                Err(why) => format!("warning: not kept: {why}"),
            };
            checks.push(Check { name: "fence".to_owned(), ok: true, detail });
        }
        checks
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^52")]
fn gauge(name: &'static str, label: &'static str, value: String, count: u64) {
    metrics::gauge!(name, label => value).set(count as f64);
}
