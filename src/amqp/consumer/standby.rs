//! Whose turn it is, where messages wait and none comes.
//!
//! A queue with a single active consumer has the others wait in line, and AMQP does not tell a
//! consumer that it is one of them. But a quorum queue counts only those that it serves: who leaves
//! the line, looks who is served without it, and is not counted when it is back, waits its turn.
//! <https://www.rabbitmq.com/docs/consumers#single-active-consumer>

use lapin::Channel;
use tokio::time::timeout;

use super::{Broken, Consumer, FAREWELL_WAIT_MAX};
use crate::amqp::watch::Watch;

/// What was found when a consumer had left the line.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    /// How many messages wait.
    pub(super) ready: u32,
    /// How many other consumers the queue serves.
    pub(super) others: u32,
}

impl Consumer {
    /// Leaves the line, and tells how many other consumers the queue serves then; none, if the broker
    /// does not say.
    pub(super) async fn leave(&self, channel: &Channel, watch: &mut Watch<'_>) -> u32 {
        // As a whole, like the farewell: what was delivered in the last moment is back in its place
        // before anyone else is served.
        match timeout(FAREWELL_WAIT_MAX, channel.close(200, "done".into())).await {
            Ok(Ok(())) => watch.others().await,
            Ok(Err(_)) | Err(_) => 0,
        }
    }

    /// Says that it waits its turn, if that is so. On a queue that serves everybody it is counted,
    /// and what waits there is for it too.
    pub(super) async fn stand_by(
        &self,
        Ahead { ready, others }: Ahead,
        watch: &mut Watch<'_>,
    ) -> Result<(), Broken> {
        let queue = &self.queue;
        if !(1..=others).contains(&watch.served().await) {
            return Err(Broken::Stalled { queue: queue.clone(), ready, others: 0 });
        }
        if self.health.facts().standby.is_none() {
            tracing::info!(
                queue.name = queue,
                "standby on {queue}: another consumer is active, and {ready} messages wait"
            );
        }
        self.health.update(|facts| {
            facts.standby = Some(ready);
            facts.undelivered = None;
        });
        Ok(())
    }

    /// Whether it waited its turn until now, which it does no more.
    pub(super) fn stood_by(&self) -> bool {
        let mut waited = None;
        self.health.update(|facts| waited = facts.standby.take());
        waited.is_some()
    }
}
