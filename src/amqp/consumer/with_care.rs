//! Reading with care: what lapin cannot read, and what does not come by it.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Broken, Consumer, NEXT_WAIT_FIRST};
use crate::amqp::careful::Reader;
use crate::bridge::Arrival;
use crate::bridge::ports::Handler;

/// How long the careful reader waits for its first message: the broker has to notice that the
/// consumer before it is gone.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(5);

/// What was read with care.
#[derive(Default)]
struct Read {
    count: u64,
    unreadable: u64,
}

impl Consumer {
    /// Takes what is at the head of the queue message by message, whatever its properties are, until
    /// nothing more comes for a while or what a generation can have had out is through.
    pub(super) async fn read_carefully(
        &self,
        because: &Broken,
        next_wait: Duration,
        handler: &dyn Handler,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        let broken = |error| Broken::Careful { queue: self.queue.clone(), error };
        let why = self.report(because, "reading with care now");
        point!("careful.called" @ &self.queue, return Err(self.cancelled()));
        // As much as before is out at a time: what a stop gives back would otherwise go behind what
        // was given back before.
        let prefetch = self.settings.prefetch.max(1);
        let mut reader =
            Reader::open(&self.endpoint, &self.queue, prefetch).await.map_err(broken)?;
        self.health.update(|facts| {
            facts.connected_since = Some(Instant::now());
            facts.trouble = None;
            facts.careful = Some(why);
        });
        let read = self.read_each((&mut reader, prefetch, next_wait), handler, stop).await;
        self.health.update(|facts| {
            facts.connected_since = None;
            facts.careful = None;
        });
        let Read { count, unreadable } = read?;
        let queue = &self.queue;
        tracing::info!(queue.name = queue, count, unreadable, "read {count} of {queue} with care");
        if let (Broken::Stalled { ready, .. }, 0) = (because, count) {
            tracing::warn!(
                queue.name = queue,
                "{ready} messages wait on {queue}, and the broker delivers none on a new connection \
                 either"
            );
            self.health.update(|facts| facts.undelivered = Some(*ready));
        }
        if stop.is_cancelled() {
            // A channel that closes forgets the settlements that its quorum queue has not come to.
            sleep(NEXT_WAIT_FIRST).await;
        }
        // What was settled is settled on the broker then, and what is out goes back.
        reader.close().await.map_err(broken)?;
        point!("careful.closed" @ &self.queue, return Err(self.cancelled()));
        Ok(())
    }

    async fn read_each(
        &self,
        (reader, prefetch, next_wait): (&mut Reader, u16, Duration),
        handler: &dyn Handler,
        stop: &CancellationToken,
    ) -> Result<Read, Broken> {
        let broken = |error| Broken::Careful { queue: self.queue.clone(), error };
        let mut read = Read::default();
        let mut patience = FIRST_WAIT_MAX;
        while read.count < 2 * u64::from(prefetch) {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = reader.next(patience) => next.map_err(broken)?,
            };
            let Some(delivered) = next else { break };
            let (tag, arrival) = delivered.into_parts();
            point!("careful.delivered" @ &self.queue, return Err(self.cancelled()));
            self.take_one(arrival, &mut read, handler, stop).await?;
            point!("careful.recorded" @ &self.queue, return Err(self.cancelled()));
            reader.settle(tag).await.map_err(broken)?;
            point!("careful.settled" @ &self.queue, return Err(self.cancelled()));
            patience = next_wait;
        }
        Ok(read)
    }

    async fn take_one(
        &self,
        arrival: Arrival,
        read: &mut Read,
        handler: &dyn Handler,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        self.delivered();
        let is_unreadable = arrival.properties.unreadable.is_some();
        let recorded = self.insist(vec![arrival], handler, stop).await;
        recorded.map_err(|source| Broken::Store { queue: self.queue.clone(), source })?;
        read.count += 1;
        read.unreadable += u64::from(is_unreadable);
        self.health.update(|facts| {
            facts.settled += 1;
            facts.trouble = None;
            facts.read_with_care += 1;
            facts.unreadable += u64::from(is_unreadable);
        });
        let result = if is_unreadable { "unreadable" } else { "good" };
        let labels = [("queue", self.queue.clone()), ("result", result.to_owned())];
        metrics::counter!("tieline_read_with_care_total", &labels).increment(1);
        Ok(())
    }
}
