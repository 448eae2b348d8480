//! Whether messages wait on a queue although none is delivered.
//!
//! A broker can lose sight of a consumer without a word to it, while its connection lives on
//! (<https://github.com/rabbitmq/rabbitmq-server/issues/1825>). That looks like an empty queue, so it
//! has to be asked.

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::{sleep, timeout};

use super::connection::Link;
use super::headers::short;
use super::problem::sentence;

/// How long the broker may take for an answer.
const WAIT_MAX: Duration = Duration::from_secs(10);

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
    /// Fewer than before means that another consumer takes them; of a queue with a single active
    /// consumer the broker tells no more. A broker that is gone is found by the heartbeat.
    pub(super) async fn twice(&mut self) -> Seen {
        let (before, ready) = (self.ready().await, self.ready().await);
        if before > 0 && ready >= before { Seen::Stalled { ready } } else { Seen::Calm }
    }

    /// How many messages wait after a while; none, if the broker does not say.
    async fn ready(&mut self) -> u32 {
        sleep(self.every).await;
        if self.refused {
            return 0;
        }
        match timeout(WAIT_MAX, self.ask()).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(error)) => {
                // Asked again, it would be refused again, and the broker would log that again.
                self.refused = true;
                tracing::debug!(
                    error = sentence(&error),
                    "not told how many wait on {}",
                    self.queue
                );
                0
            }
            Err(_) => 0,
        }
    }

    async fn ask(&mut self) -> lapin::Result<u32> {
        let channel = match &self.channel {
            Some(channel) => channel,
            None => self.channel.insert(self.link.channel().await?),
        };
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(short(self.queue), passive, FieldTable::default());
        Ok(queue.await?.message_count())
    }
}
