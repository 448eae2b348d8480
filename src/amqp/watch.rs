//! Whether messages wait on a queue although none is delivered.
//!
//! A broker can lose sight of a consumer without a word to it, while its connection lives on
//! (<https://github.com/rabbitmq/rabbitmq-server/issues/1825>). That looks like an empty queue, so it
//! has to be asked.

use std::time::Duration;

use lapin::Channel;
use tokio::time::{sleep, timeout};

use super::connection::Link;
use super::problem::sentence;
use super::told::told_for_certain;

/// How long the broker may take for an answer.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How often, and after what pause, the broker is asked who is left when a consumer has gone: it
/// forgets one a moment after its channel was closed.
const LOOKS_MAX: usize = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Looks at a queue from time to time.
pub(super) struct Watch<'a> {
    link: &'a Link,
    queue: &'a str,
    every: Duration,
    /// A channel of its own, because a refusal closes it.
    channel: Option<Channel>,
    refused: bool,
}

/// What is seen of a queue that nothing came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// Nothing waits, or somebody takes what does, or the broker does not say.
    Calm,
    /// So many wait, and no fewer than a while ago.
    Stalled { ready: u32 },
}

impl<'a> Watch<'a> {
    /// Looks at a queue every so often, by the connection of its consumer.
    pub(super) fn new(link: &'a Link, queue: &'a str, every: Duration) -> Self {
        Self { link, queue, every, channel: None, refused: false }
    }

    /// Looks twice. To be begun anew with every delivery, so that none came in between.
    ///
    /// Fewer than before means that another consumer takes them. A broker that is gone is found by the
    /// heartbeat.
    pub(super) async fn twice(&mut self) -> Seen {
        let (before, ready) = (self.ready().await, self.ready().await);
        if before > 0 && ready >= before { Seen::Stalled { ready } } else { Seen::Calm }
    }

    /// How many consumers the queue serves once one has left it; none, if the broker does not say.
    pub(super) async fn others(&mut self) -> u32 {
        let mut others = 0;
        for _ in 0..LOOKS_MAX {
            others = self.served().await;
            if others == 0 {
                break;
            }
            sleep(LOOK_PAUSE).await;
        }
        others
    }

    /// How many consumers the queue serves; none, if the broker does not say. A quorum queue counts
    /// none of those that wait behind a single active consumer.
    pub(super) async fn served(&mut self) -> u32 {
        self.told().await.map_or(0, |queue| queue.consumer_count())
    }

    /// How many messages wait after a while; none, if the broker does not say.
    async fn ready(&mut self) -> u32 {
        sleep(self.every).await;
        self.told().await.map_or(0, |queue| queue.message_count())
    }

    async fn told(&mut self) -> Option<lapin::Queue> {
        if self.refused {
            return None;
        }
        match timeout(WAIT_MAX, self.ask()).await {
            Ok(Ok(queue)) => Some(queue),
            Ok(Err(error)) => {
                // Asked again, it would be refused again, and the broker would log that again.
                self.refused = true;
                tracing::debug!(error = sentence(&error), "not told how {} is", self.queue);
                None
            }
            Err(_) => None,
        }
    }

    async fn ask(&mut self) -> lapin::Result<lapin::Queue> {
        let channel = match &self.channel {
            Some(channel) => channel,
            None => self.channel.insert(self.link.channel().await?),
        };
        told_for_certain(channel, self.queue).await
    }
}
