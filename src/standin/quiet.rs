//! How long nothing has happened.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When something last happened.
#[derive(Debug)]
pub(super) struct Quiet(Mutex<Instant>);

impl Quiet {
    /// How often to look whether it is quiet.
    pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

    /// Quiet from now on.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Notes that something happened.
    pub(super) fn disturb(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether nothing has happened for so long.
    pub(super) fn lasts(&self, wait: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= wait
    }
}
