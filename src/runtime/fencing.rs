//! The fence around a run of the bridge: before it, beside it and after it.

use std::pin::pin;
use std::sync::Arc;

use jiff::Timestamp;

use super::assemble::{RunError, StartError, Workshop};
use super::shutdown::Stop;
use super::sides::Sides;
use super::tasks::Tasks;
use crate::amqp::{FenceQueue, Topology};
use crate::bridge::Health;
use crate::bridge::fence::{BeginError, Keeper};
use crate::bridge::gate::Gate;
use crate::domain::Mark;

/// The fence of this run.
pub(super) struct Fencing {
    keeper: Keeper,
    /// What it told when the bridge started.
    told: Option<Mark>,
}

impl Fencing {
    /// Compares the store with the fence and makes the fence this run's own; nothing if there is to
    /// be none.
    pub(super) async fn begin(
        workshop: &Workshop,
        topology: &Topology,
        sides: &Sides,
        health: &Arc<Health>,
    ) -> Result<Option<Self>, StartError> {
        if !sides.fence {
            return Ok(None);
        }
        let clock = Arc::clone(&workshop.clock);
        let keeper = Keeper {
            store: Arc::clone(&workshop.store),
            queue: Arc::new(FenceQueue::new(sides.billing.clone(), topology)),
            gate: Arc::new(Gate::new(Arc::clone(&clock))),
            run: run_name(clock.now()),
            health: Arc::clone(health),
            clock,
        };
        let told = keeper.begin().await?;
        Ok(Some(Self { keeper, told }))
    }

    /// What stands before the publishers.
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.keeper.gate)
    }

    /// Keeps the fence until the tasks have ended, and writes the last one. When another bridge has
    /// taken over, the tasks are dropped at once: what is cut short is the other one's.
    pub(super) async fn around(self, tasks: Tasks, stop: &Stop) -> Result<(), RunError> {
        let Self { keeper, told } = self;
        let mut running = pin!(tasks.wait(stop));
        tokio::select! {
            ended = &mut running => {
                point!("stop.drained");
                keeper.end().await;
                ended
            }
            relieved = keeper.run(told) => {
                tracing::error!("{relieved}");
                stop.hard.cancel();
                drop(running.await);
                stop.soft.cancel();
                Err(RunError::Relieved(relieved))
            }
        }
    }
}

impl From<BeginError> for StartError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Refused(refusal) => Self::Fence(refusal),
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

/// The name of this run of the bridge, for people and unlike any other.
fn run_name(now: Timestamp) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "this machine" } else { host.trim() };
    format!("process {} on {host} since {now}", std::process::id())
}
