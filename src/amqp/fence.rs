//! The fence's queue: one small message that says how far the store was.
//!
//! AMQP has no look at a message that leaves it where it is, so it is taken and given back, and a
//! new one takes the place of the old one while that is held: nobody else can do the same in
//! between. If this process dies meanwhile, the old one comes back in front of the new one and is
//! dropped, because the queue holds one message.
//!
//! Nothing is held while the broker is low on memory or disk. It would read neither the new fence
//! nor the settlement of the old one until that is over, and whoever looks in the meantime would
//! find no fence at all.

use std::time::Duration;

use async_trait::async_trait;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::{BasicProperties, Channel};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::connection::Endpoint;
use super::headers::{Envelope, short};
use super::problem::{reply_code, sentence};
use super::session::{BLOCKED_MAX, Closed, Open, Target};
use super::told::{told, told_for_certain};
use super::topology::{Role, Topology};
use super::window::{self, Fate, Post};
use crate::bridge::fence::{FenceError, FenceQueue as Port};
use crate::domain::Fence;

/// How often an empty queue is looked at before there is no fence: another reader holds it for
/// milliseconds.
const LOOKS_MAX: usize = 5;

/// The wait between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether the consumer of a bridge that has just died is gone.
const ATTENDANCE_LOOKS_MAX: usize = 20;

/// The longest that the exchange of a few frames may take.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The fence's queue on a broker.
pub struct FenceQueue {
    endpoint: Endpoint,
    exchange: String,
    queue: String,
    requests: String,
    blocked_max: Duration,
    open: Mutex<Option<Open>>,
}

/// Why something could not be done on the channel.
enum Trouble {
    Broker(lapin::Error),
    Unsettled(Fate),
}

#[cfg(feature = "points")]
impl Trouble {
    /// What a lost connection comes to.
    fn lost() -> Self {
        Self::Unsettled(Fate::Unconfirmed(crate::points::FAILED.to_owned()))
    }
}

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error)
    }
}

impl FenceQueue {
    /// The queue that the topology names. It connects when it is first asked to do something.
    pub fn new(endpoint: Endpoint, topology: &Topology) -> Self {
        Self {
            endpoint,
            exchange: topology.exchange_out().to_owned(),
            queue: topology.queue(Role::Fence).to_owned(),
            requests: topology.queue(Role::Request).to_owned(),
            blocked_max: BLOCKED_MAX,
            open: Mutex::new(None),
        }
    }

    /// The same with another limit for the age of a connection that the broker blocks.
    #[must_use]
    pub fn with_blocked_max(mut self, blocked_max: Duration) -> Self {
        self.blocked_max = blocked_max;
        self
    }

    fn target(&self) -> Target<'_> {
        Target {
            blocked_max: self.blocked_max,
            endpoint: &self.endpoint,
            purpose: "fence",
            exchange: &self.exchange,
            wait: WAIT_MAX,
        }
    }

    /// Looks at something, and leaves it as it is.
    async fn look<T>(
        &self,
        act: impl AsyncFnOnce(&Channel) -> Result<T, Trouble>,
    ) -> Result<T, FenceError> {
        let mut slot = self.open.lock().await;
        if slot.as_ref().is_some_and(|open| open.is_usable() && open.is_blocked()) {
            // The broker reads nothing from a connection that it blocks, and does not block one on
            // which nothing was published.
            let other = self.connect().await?;
            let seen = self.act(&other, act).await;
            other.link.close().await;
            return seen;
        }
        let open = self.usable(slot.take()).await?;
        let seen = self.act(&open, act).await?;
        *slot = Some(open);
        Ok(seen)
    }

    /// Changes something, if the broker takes messages now.
    async fn change<T>(
        &self,
        act: impl AsyncFnOnce(&Channel) -> Result<T, Trouble>,
    ) -> Result<T, FenceError> {
        let mut slot = self.open.lock().await;
        let mut open = self.usable(slot.take()).await?;
        open.forget_trial();
        match open.admit(&self.target()).await {
            Ok(()) => {}
            Err(closed) => {
                if matches!(closed, Closed::Blocked(_)) && !open.is_worn_out(&self.target()) {
                    *slot = Some(open);
                }
                return Err(self.closed(closed));
            }
        }
        let done = self.act(&open, act).await?;
        *slot = Some(open);
        Ok(done)
    }

    /// Does something on a connection. Who gets an error drops the connection: what is held goes
    /// back to the queue with it.
    async fn act<T>(
        &self,
        open: &Open,
        act: impl AsyncFnOnce(&Channel) -> Result<T, Trouble>,
    ) -> Result<T, FenceError> {
        tokio::select! {
            biased;
            done = timeout(WAIT_MAX, act(&open.channel)) => match done {
                Ok(done) => done.map_err(|trouble| self.trouble(trouble)),
                Err(_) => Err(self.closed(Closed::Away("the broker is silent".to_owned()))),
            },
            reason = open.link.until_blocked() => Err(self.closed(Closed::Blocked(reason))),
        }
    }

    async fn usable(&self, open: Option<Open>) -> Result<Open, FenceError> {
        match open.filter(Open::is_usable) {
            Some(open) => Ok(open),
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<Open, FenceError> {
        Open::connect(&self.target()).await.map_err(|closed| match closed {
            // It says where.
            Closed::Away(why) => FenceError::Away(why),
            closed => self.closed(closed),
        })
    }

    fn closed(&self, closed: Closed) -> FenceError {
        let place = self.place();
        match closed {
            Closed::Away(why) => FenceError::Away(format!("{place}: {why}")),
            Closed::Blocked(reason) => {
                FenceError::Away(format!("{place}: the broker takes no messages now: {reason}"))
            }
            Closed::Refused(_, text) => FenceError::Refused(format!("{place}: {text}")),
        }
    }

    fn trouble(&self, trouble: Trouble) -> FenceError {
        let place = self.place();
        match trouble {
            Trouble::Broker(error) => match reply_code(&error) {
                Some(403..=406) => FenceError::Refused(format!("{place}: {}", sentence(&error))),
                _ => FenceError::Away(format!("{place}: {}", sentence(&error))),
            },
            Trouble::Unsettled(Fate::Returned) => {
                FenceError::Refused(format!("{place}: it is not bound to {}", self.exchange))
            }
            Trouble::Unsettled(Fate::Closed(_, why)) => {
                FenceError::Refused(format!("{place}: {why}"))
            }
            Trouble::Unsettled(Fate::Nacked) => {
                FenceError::Away(format!("{place}: the broker refused it"))
            }
            Trouble::Unsettled(Fate::Unconfirmed(why) | Fate::Unsent(why)) => {
                FenceError::Away(format!("{place}: {why}"))
            }
            Trouble::Unsettled(Fate::Confirmed) => FenceError::Away(place),
        }
    }

    async fn publish(&self, channel: &Channel, fence: &Fence) -> Result<(), Trouble> {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_type("tieline.fence".into())
            .with_message_id("tieline-fence".into());
        let (exchange, routing_key) = (self.exchange.clone(), self.queue.clone());
        let envelope = Envelope { exchange, routing_key, properties };
        let payload = written(fence);
        let post = [Post { envelope: &envelope, payload: &payload, mandatory: true }];
        match window::publish(channel, &post, WAIT_MAX).await.into_iter().next() {
            Some(Fate::Confirmed) => Ok(()),
            Some(fate) => Err(Trouble::Unsettled(fate)),
            None => Ok(()),
        }
    }

    async fn take(&self, channel: &Channel) -> lapin::Result<Option<BasicGetMessage>> {
        channel.basic_get(short(&self.queue), BasicGetOptions::default()).await
    }
}

#[async_trait]
impl Port for FenceQueue {
    fn place(&self) -> String {
        format!("queue {} at {}", self.queue, self.endpoint)
    }

    async fn read(&self, is_expected: bool) -> Result<Option<Fence>, FenceError> {
        self.look(async |channel| {
            for _ in 0..LOOKS_MAX {
                if let Some(held) = self.take(channel).await? {
                    let fence = read(&held);
                    give_back(&held).await?;
                    return Ok(fence);
                }
                if !is_expected && told(channel, &self.requests).await?.consumer_count() == 0 {
                    break;
                }
                sleep(LOOK_PAUSE).await;
            }
            Ok(None)
        })
        .await
    }

    async fn replace(
        &self,
        fence: &Fence,
        before: Option<&str>,
    ) -> Result<Option<Fence>, FenceError> {
        self.change(async |channel| {
            let held = self.take(channel).await?;
            let found = held.as_ref().and_then(read);
            if let (Some(held), Some(found)) = (&held, found)
                && found.run != fence.run
                && Some(found.run.as_str()) != before
            {
                give_back(held).await?;
                return Ok(Some(found));
            }
            point!("fence.held", return Err(Trouble::lost()));
            self.publish(channel, fence).await?;
            point!("fence.published", return Err(Trouble::lost()));
            if let Some(held) = &held {
                held.delivery.ack(BasicAckOptions::default()).await?;
            }
            Ok(None)
        })
        .await
    }

    async fn is_attended(&self) -> Result<bool, FenceError> {
        self.look(async |channel| {
            for _ in 0..ATTENDANCE_LOOKS_MAX {
                if told_for_certain(channel, &self.requests).await?.consumer_count() == 0 {
                    return Ok(false);
                }
                sleep(LOOK_PAUSE).await;
            }
            Ok(true)
        })
        .await
    }

    async fn is_cut(&self) -> bool {
        self.open.lock().await.as_ref().is_none_or(|open| !open.is_usable())
    }

    async fn close(&self) {
        if let Some(open) = self.open.lock().await.take() {
            open.link.close().await;
        }
    }
}

async fn give_back(held: &BasicGetMessage) -> lapin::Result<()> {
    let again = BasicNackOptions { multiple: false, requeue: true };
    held.delivery.nack(again).await.map(drop)
}

/// The fence as it stands in the message.
#[derive(Serialize, Deserialize)]
struct Written {
    store: String,
    epoch: i64,
    line: i64,
    place: i64,
    run: String,
    at: jiff::Timestamp,
}

fn written(fence: &Fence) -> Vec<u8> {
    let Fence { store, epoch, line, place, run, at } = fence.clone();
    let written = Written { store: store.to_string(), epoch, line, place, run, at };
    // Numbers and texts always can be written.
    serde_json::to_vec(&written).unwrap_or_default()
}

/// What a message says; nothing if it is no fence: then it is somebody else's, and is replaced.
fn read(held: &BasicGetMessage) -> Option<Fence> {
    parse(&held.delivery.data)
}

fn parse(bytes: &[u8]) -> Option<Fence> {
    let written: Written = serde_json::from_slice(bytes).ok()?;
    let Written { store, epoch, line, place, run, at } = written;
    Some(Fence { store: store.parse().ok()?, epoch, line, place, run, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_read_as_it_was_written_and_nothing_else_is_one() {
        let fence = Fence {
            store: "7d3c1e52-4f0b-4c0e-9a55-2f9a3f6f0a11".parse().unwrap(),
            epoch: 2,
            line: 812,
            place: 40,
            run: "process 4711 on mq".to_owned(),
            at: "2026-03-14T04:00:00.123Z".parse().unwrap(),
        };
        assert_eq!(parse(&written(&fence)), Some(fence));
        assert_eq!(parse(b"{}"), None);
        assert_eq!(parse(b"<spSyncRequest/>"), None);
    }
}
