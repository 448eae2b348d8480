//! What is known about a consumer while it runs.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What is known about a consumer; for health checks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Which connection it is on, counted from 1; 0 before the first.
    pub generation: u64,
    /// Since when it consumes; none while it does not.
    pub connected_since: Option<Instant>,
    /// When it last got a delivery.
    pub last_delivery: Option<Instant>,
    /// How many deliveries it has settled.
    pub settled: u64,
    /// Why it does not consume.
    pub trouble: Option<String>,
    /// Why it reads with care, while it does.
    pub careful: Option<String>,
    /// How many messages it has read with care.
    pub read_with_care: u64,
    /// How many of them have properties that cannot be read.
    pub unreadable: u64,
    /// How many messages wait that the broker delivers on no connection.
    pub undelivered: Option<u32>,
    /// How many messages wait while another consumer is the active one, and this one for its turn.
    pub standby: Option<u32>,
}

/// Shared view of a consumer's [`Facts`].
#[derive(Debug, Default)]
pub struct Health(Mutex<Facts>);

impl Health {
    /// The facts of this moment.
    pub fn facts(&self) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
