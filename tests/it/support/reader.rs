//! A system outside the bridge that works through a queue by itself, over lost connections too.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::task::AbortHandle;

use super::answer::{key_of, positive};
use super::client::{consume, properties, runtime};
use super::site::queue;
use super::wait::rest;
use super::{Message, until};

/// How many messages are settled at once.
const BATCH_MAX: usize = 100;

/// Takes every message of a queue and keeps it.
pub(crate) struct Reader {
    taken: Arc<Mutex<Vec<Message>>>,
    task: AbortHandle,
}

impl Reader {
    /// Billing, which takes its replies.
    pub(crate) fn of_replies(url: &str) -> Self {
        Self::start(url, queue::REPLY, None)
    }

    /// Asset management, which answers every asset location positively.
    pub(crate) fn of_locations(url: &str) -> Self {
        Self::start(url, queue::LOCATION, Some(queue::ANSWER))
    }

    fn start(url: &str, from: &'static str, answers: Option<&'static str>) -> Self {
        let taken = Arc::<Mutex<Vec<Message>>>::default();
        let (url, kept) = (url.to_owned(), Arc::clone(&taken));
        let task = runtime().spawn(async move {
            loop {
                // Whatever goes wrong is a lost connection: everything not settled comes again.
                drop(work(&url, from, answers, &kept).await);
                rest().await;
            }
        });
        Self { taken, task: task.abort_handle() }
    }

    /// What was taken so far, in order; what was delivered twice stands there twice.
    pub(crate) fn taken(&self) -> Vec<Message> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there is a message about each of so many sync requests, and returns all.
    #[track_caller]
    pub(crate) fn until_about(&self, count: usize) -> Vec<Message> {
        let mut seen = 0;
        let mut about = HashSet::new();
        loop {
            // However slow the machine is: as long as something comes, it goes on.
            let taken = until(&format!("more than {} of {count} messages", about.len()), || {
                (self.count() > seen).then(|| self.taken())
            });
            about.extend(taken[seen..].iter().map(Message::sync_request));
            seen = taken.len();
            if about.len() >= count {
                return taken;
            }
        }
    }

    /// How many were taken so far.
    pub(crate) fn count(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn work(
    url: &str,
    from: &str,
    answers: Option<&str>,
    taken: &Mutex<Vec<Message>>,
) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut consumer = consume(&channel, from).await?;
    while let Some(first) = consumer.next().await {
        let mut deliveries = vec![first?];
        while deliveries.len() < BATCH_MAX
            && let Some(Some(delivery)) = consumer.next().now_or_never()
        {
            deliveries.push(delivery?);
        }
        let last = deliveries.last().map(|delivery| delivery.acker.clone());
        let messages: Vec<_> = deliveries.into_iter().map(Message::of).collect();
        if let Some(to) = answers {
            // What a lost connection leaves unsettled comes again and is answered again: no
            // answer is lost, and one or the other is sent twice, as it happens in life.
            answer_all(&channel, to, &messages).await?;
        }
        taken.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
        if let Some(last) = last {
            last.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
    Ok(())
}

/// Answers asset locations positively, and returns when the broker has every answer.
async fn answer_all(channel: &Channel, to: &str, locations: &[Message]) -> lapin::Result<()> {
    let mut confirms = Vec::new();
    for location in locations {
        let body = positive(&location.sync_request(), &key_of(location));
        let correlation = location.properties.correlation_id().clone().unwrap_or_default();
        let properties = properties().with_correlation_id(correlation);
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish("".into(), to.into(), options, &body, properties);
        confirms.push(sent.await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    Ok(())
}
