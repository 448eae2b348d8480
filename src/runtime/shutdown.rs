//! Stopping: softly first (take nothing new, finish what is under way), hard after a second signal
//! or when the grace is over.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two tokens of a stop.
#[derive(Clone, Default)]
pub struct Stop {
    /// Take nothing new; finish what is under way.
    pub soft: CancellationToken,
    /// Drop everything. What was cut short is repeated after the next start.
    pub hard: CancellationToken,
}

impl Stop {
    /// Cancels softly now, and hard when the grace is over.
    pub async fn after(&self, grace: Duration) {
        self.soft.cancelled().await;
        tokio::select! {
            () = self.hard.cancelled() => {}
            () = tokio::time::sleep(grace) => {
                tracing::warn!("the grace of {grace:?} is over; what is under way is cut short");
                self.hard.cancel();
            }
        }
    }
}

/// The signals that the process listens to. Taken before anything starts, so that none is missed.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP: read the mappings again.
    Reload,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
