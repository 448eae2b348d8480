//! Takes what arrives on one queue, hands it to the bridge and settles it once it is durable.
//!
//! A generation is one connection, one channel, one consumer. Whatever goes wrong ends the
//! generation: its deliveries go back to their places in the queue, and a new one begins after a
//! wait. Nothing is ever requeued or rejected as a way of trying again; that could move a message
//! behind newer ones (<https://www.rabbitmq.com/docs/quorum-queues#repeated-requeues>).

mod broken;
mod health;
mod standby;
mod with_care;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::broken::Broken;
pub use self::health::{Facts, Health};
use self::standby::Ahead;
use super::backoff::Backoff;
use super::connection::{Endpoint, Link};
use super::headers::{arrival, short};
use super::problem::sentence;
use super::watch::{Seen, Watch};
use crate::bridge::ports::{Handler, Receiving};
use crate::bridge::{Arrival, StoreError};

/// How long a generation must have lasted for the next to begin with a short wait again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// How long a batch is offered again to a handler that fails before its deliveries are given back.
/// Each time they are given back counts towards the queue's delivery limit, so this must not happen
/// at the pace of the retries; and the broker takes them back by itself after 30 minutes
/// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
const HOLD_MAX: Duration = Duration::from_mins(15);

/// The longest wait before a batch is offered again: it costs a write that fails, and when there is
/// room again for what was full, things go on within this.
const OFFER_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long the stream of deliveries may take to tell why it ended.
const LAST_ERROR_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long the careful reader waits for each further message: as short as that at first, twice as
/// long each time that it is called for again soon, so that a sender who goes on sending what lapin
/// cannot read costs a few connections and not two for each message.
const NEXT_WAIT_FIRST: Duration = Duration::from_millis(200);
const NEXT_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long it is from one look at a quiet queue to the next, at most; twice as long after each that
/// led to nothing.
const LOOK_EVERY_MAX: Duration = Duration::from_mins(30);

/// How long the broker may take to answer at the end.
const FAREWELL_WAIT_MAX: Duration = Duration::from_secs(5);

/// The limits of a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How many deliveries the broker sends ahead; 1 to 2000 on a quorum queue. 1000 is on the
    /// plateau; a crash gives back that many at once.
    pub prefetch: u16,
    /// How many deliveries are handed over and settled together: half of the prefetch lets one batch
    /// be read while the one before is being recorded.
    pub batch_max: usize,
    /// How long nothing has come when the broker is asked whether messages wait; they have to wait
    /// as long again for it to count.
    pub look_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { prefetch: 1000, batch_max: 500, look_every: Duration::from_secs(30) }
    }
}

/// Consumes one queue for as long as it runs.
pub struct Consumer {
    endpoint: Endpoint,
    queue: String,
    settings: Settings,
    health: Arc<Health>,
}

/// How batches are handed over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Without keeping a copy. The first that fails ends the generation.
    Usual,
    /// After one that failed: with a copy kept, again and again while the handler fails, until one
    /// is through. So an outage of the store costs each message one delivery, not one per attempt.
    ///
    /// The prefetch stays what it was. A smaller one would spoil the order: a quorum queue puts
    /// what is given back behind what was given back before and is still waiting there.
    Cautious,
}

impl Consumer {
    /// A consumer of a queue.
    pub fn new(endpoint: Endpoint, queue: impl Into<String>, settings: Settings) -> Self {
        Self { endpoint, queue: queue.into(), settings, health: Arc::default() }
    }

    /// What a health check may look at while the consumer runs.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Consumes until `stop`; then takes no more, finishes the batch in hand, settles it and
    /// returns. Trouble with broker or handler is waited out, however long it lasts.
    pub async fn run(self, handler: Arc<dyn Handler>, stop: CancellationToken) {
        let mut backoff = Backoff::new();
        let mut care = Care::Usual;
        let mut next_wait = NEXT_WAIT_FIRST;
        let mut look_every = self.settings.look_every;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            self.health.update(|facts| facts.generation += 1);
            let ended = self.generation(&mut care, look_every, handler.as_ref(), &stop).await;
            self.health.update(|facts| {
                facts.connected_since = None;
                facts.standby = None;
            });
            let Err(mut broken) = ended else { break };
            // Nothing is to be said against the broker then, and the next batch is handed over with
            // care: no reason to wait longer each time.
            let was_store = matches!(broken, Broken::Store { .. });
            let is_healthy = begun.elapsed() >= HEALTHY_AFTER;
            let is_mute = self.health.facts().last_delivery.is_none_or(|last| last < begun);
            if !is_mute {
                look_every = self.settings.look_every;
            }
            if matches!(broken, Broken::Stalled { .. }) {
                look_every = LOOK_EVERY_MAX.min(2 * look_every);
            }
            if broken.is_unreadable() || is_mute && broken.is_silence() {
                next_wait =
                    if is_healthy { NEXT_WAIT_FIRST } else { NEXT_WAIT_MAX.min(2 * next_wait) };
                match self.read_carefully(&broken, next_wait, handler.as_ref(), &stop).await {
                    Ok(()) => continue,
                    Err(error) => broken = error,
                }
            }
            if matches!(broken, Broken::Store { .. }) {
                care = Care::Cautious;
            }
            if was_store || is_healthy {
                backoff.reset();
            }
            let wait = backoff.next_wait();
            self.report(&broken, &format!("again in {} ms", wait.as_millis()));
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn cancelled(&self) -> Broken {
        Broken::Cancelled { queue: self.queue.clone() }
    }

    fn report(&self, broken: &Broken, then: &str) -> String {
        let why = with_sources(broken);
        tracing::warn!(
            queue.name = self.queue,
            broker = %self.endpoint,
            "consumer of {} interrupted: {why}; {then}",
            self.queue
        );
        self.health.update(|facts| facts.trouble = Some(why.clone()));
        why
    }

    /// Consumes on one connection until it breaks, or to the good end.
    async fn generation(
        &self,
        care: &mut Care,
        look_every: Duration,
        handler: &dyn Handler,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        let purpose = format!("consumer of {}", self.queue);
        let link = tokio::select! {
            link = self.endpoint.connect(&purpose) => link?,
            () = stop.cancelled() => return Ok(()),
        };
        let mut watch = Watch::new(&link, &self.queue, look_every);
        let mut ahead = None;
        let ended = loop {
            match self.consume((&link, &mut watch), ahead, (care, handler), stop).await {
                // Back into the line, or to the queue: its turn comes when the other one is gone.
                Err(Broken::Stalled { ready, others, .. }) if others > 0 || self.stood_by() => {
                    ahead = (others > 0).then_some(Ahead { ready, others });
                }
                ended => break ended,
            }
        };
        match ended {
            Ok(channel) => {
                self.farewell(link, &channel).await;
                Ok(())
            }
            Err(broken) => {
                // What was delivered goes back as a whole, in its place. The rest of the batch
                // must not be settled by anybody any more.
                link.close().await;
                Err(broken)
            }
        }
    }

    /// Hands over batch after batch until it is to stop. `ahead`: what was found when it left the
    /// queue's line just before.
    async fn consume(
        &self,
        (link, watch): (&Link, &mut Watch<'_>),
        ahead: Option<Ahead>,
        (care, handler): (&mut Care, &dyn Handler),
        stop: &CancellationToken,
    ) -> Result<Channel, Broken> {
        let broken = |error| Broken::Channel { queue: self.queue.clone(), error };
        let prefetch = self.settings.prefetch.max(1);
        let channel = link.channel().await.map_err(broken)?;
        // Before the consumer begins: what lapin holds for us is bounded by this alone.
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(broken)?;
        let options = BasicConsumeOptions::default();
        let consumer =
            channel.basic_consume(short(&self.queue), TAG.into(), options, FieldTable::default());
        let mut deliveries = consumer.await.map_err(broken)?;
        self.health.update(|facts| {
            facts.connected_since = Some(Instant::now());
            facts.trouble = None;
        });
        if let Some(ahead) = ahead {
            self.stand_by(ahead, watch).await?;
        } else {
            let queue = &self.queue;
            tracing::info!(queue.name = queue, broker = %self.endpoint, "consuming {queue}");
        }
        point!("consumer.begun" @ &self.queue, return Err(self.cancelled()));
        match self.take((&channel, &mut deliveries, watch), care, handler, stop).await {
            Ok(()) => Ok(channel),
            // The settlement fails over the same that the stream ends with, and says less.
            Err(failed @ Broken::Channel { .. }) => {
                let reason = last_error(&mut deliveries).await;
                Err(reason.map_or(failed, broken))
            }
            Err(Broken::Stalled { queue, ready, .. }) => tokio::select! {
                others = self.leave(&channel, watch) => {
                    Err(Broken::Stalled { queue, ready, others })
                }
                () = stop.cancelled() => Ok(channel),
            },
            Err(failed) => Err(failed),
        }
    }

    /// Takes batch after batch until it is to stop.
    async fn take(
        &self,
        (channel, deliveries, watch): (&Channel, &mut lapin::Consumer, &mut Watch<'_>),
        care: &mut Care,
        handler: &dyn Handler,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        let broken = |error| Broken::Channel { queue: self.queue.clone(), error };
        let mut recording: Option<Recording<'_>> = None;
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    return self.conclude(channel, recording, care).await;
                }
                () = until_received(recording.as_mut()) => {
                    self.conclude(channel, recording.take(), care).await?;
                    continue;
                }
                delivery = deliveries.next() => delivery,
                seen = watch.twice(), if recording.is_none() => {
                    self.judge(seen)?;
                    continue;
                }
            };
            let mut next = Some(first);
            let mut batch = Vec::new();
            let mut last_tag = 0;
            while let Some(delivery) = next.take() {
                // The stream's end is no error to lapin: the broker cancelled the consumer.
                let delivery = delivery.ok_or_else(|| self.cancelled())?.map_err(broken)?;
                last_tag = delivery.delivery_tag;
                batch.push(arrival(delivery));
                if batch.len() < self.settings.batch_max {
                    next = deliveries.next().now_or_never();
                    if next.is_none() && recording.is_some() {
                        // A few more are not worth a transaction of their own: while the batch
                        // before is being recorded, others join them.
                        self.conclude(channel, recording.take(), care).await?;
                        next = deliveries.next().now_or_never();
                    }
                }
            }
            self.delivered();
            let count = batch.len() as u64;
            point!("consumer.delivered" @ &self.queue, return Err(self.cancelled()));
            // A full batch is read while the one before is being recorded; recorded after that one.
            // If that one fails, this one is forgotten with it, so that nothing overtakes.
            let receiving = match care {
                Care::Usual => handler.receive(batch),
                Care::Cautious => Box::pin(self.insist(batch, handler, stop)),
            };
            self.conclude(channel, recording.take(), care).await?;
            recording = Some(Recording { last_tag, count, receiving, received: None });
        }
    }

    fn judge(&self, seen: Seen) -> Result<(), Broken> {
        match seen {
            Seen::Calm => self.health.update(|facts| {
                facts.undelivered = None;
                facts.standby = None;
            }),
            Seen::Stalled { ready } => {
                return Err(Broken::Stalled { queue: self.queue.clone(), ready, others: 0 });
            }
        }
        Ok(())
    }

    fn delivered(&self) {
        self.health.update(|facts| {
            facts.last_delivery = Some(Instant::now());
            facts.undelivered = None;
            facts.standby = None;
        });
    }

    /// Waits until a batch is recorded, and settles it.
    async fn conclude(
        &self,
        channel: &Channel,
        recording: Option<Recording<'_>>,
        care: &mut Care,
    ) -> Result<(), Broken> {
        let Some(mut recording) = recording else { return Ok(()) };
        if !planted!("settled before it is recorded") {
            until_received(Some(&mut recording)).await;
        }
        let Recording { last_tag, count, received, .. } = recording;
        if let Some(Err(source)) = received {
            return Err(Broken::Store { queue: self.queue.clone(), source });
        }
        *care = Care::Usual;
        planted!("never settles", return Ok(()));
        point!("consumer.recorded" @ &self.queue, return Err(self.cancelled()));
        // One settlement for all, on the channel they came by. Settling one by one and closing
        // soon after makes a quorum queue deliver settled messages again.
        let multiple = BasicAckOptions { multiple: true };
        // No tag at all stands for everything that is out.
        let tag = if planted!("settles what is not recorded yet") { 0 } else { last_tag };
        let settled = channel.basic_ack(tag, multiple).await;
        settled.map_err(|error| Broken::Channel { queue: self.queue.clone(), error })?;
        point!("consumer.settled" @ &self.queue, return Err(self.cancelled()));
        self.health.update(|facts| {
            facts.settled += count;
            facts.trouble = None;
        });
        Ok(())
    }

    /// Hands a batch over again and again while the handler fails.
    async fn insist(
        &self,
        batch: Vec<Arrival>,
        handler: &dyn Handler,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut backoff = Backoff::up_to(OFFER_WAIT_MAX);
        loop {
            let error = match handler.receive(batch.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let why = with_sources(&error);
            tracing::warn!(
                queue.name = self.queue,
                "what arrived on {} is held, and the queue with it: {why}",
                self.queue
            );
            self.health.update(|facts| facts.trouble = Some(why));
            let wait = backoff.next_wait();
            if stop.is_cancelled() || begun.elapsed() + wait > HOLD_MAX {
                return Err(error);
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Ends a generation so that everything settled is settled on the broker as well: the channel's
    /// close is answered after what came before it.
    ///
    /// The consumer is not cancelled first. A quorum queue would make the next consumer the active
    /// one at once, and give it what comes after the deliveries that are still out here; these
    /// would come back behind it. Closed as a whole, they are back before anyone else is served.
    async fn farewell(&self, link: Link, channel: &Channel) {
        point!("consumer.stopped" @ &self.queue);
        match timeout(FAREWELL_WAIT_MAX, channel.close(200, "done".into())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = sentence(&error), "the channel was gone already");
            }
            Err(_) => tracing::debug!("the broker did not answer the farewell"),
        }
        link.close().await;
    }
}

/// A batch that is being recorded.
struct Recording<'h> {
    last_tag: u64,
    count: u64,
    receiving: Receiving<'h>,
    received: Option<Result<(), StoreError>>,
}

/// The error that a stream of deliveries ends with.
async fn last_error(deliveries: &mut lapin::Consumer) -> Option<lapin::Error> {
    while let Ok(Some(delivery)) = timeout(LAST_ERROR_WAIT_MAX, deliveries.next()).await {
        if let Err(error) = delivery {
            return Some(error);
        }
    }
    None
}

/// Waits until a batch is recorded; for ever, if there is none.
async fn until_received(recording: Option<&mut Recording<'_>>) {
    match recording {
        Some(Recording { received: Some(_), .. }) => {}
        Some(recording) => recording.received = Some(recording.receiving.as_mut().await),
        None => std::future::pending().await,
    }
}

/// The consumer's tag; unique on its channel, which has one consumer.
const TAG: &str = "tieline";

/// An error with its causes, as one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
