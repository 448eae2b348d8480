//! A system outside the bridge that works through a queue by itself, over lost connections too.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Connection, ConnectionProperties};
use tokio::task::AbortHandle;

use super::answer::{key_of, positive};
use super::client::{consume, properties, runtime};
use super::site::queue;
use super::wait::rest;
use super::{Message, until};

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
        let mut about = std::collections::HashSet::new();
        until(&format!("messages about {count} sync requests"), || {
            let taken = self.taken();
            about.extend(taken[seen..].iter().map(Message::sync_request));
            seen = taken.len();
            (about.len() >= count).then_some(taken)
        })
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
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let acker = delivery.acker.clone();
        let message = Message::of(delivery);
        if let Some(to) = answers {
            let body = positive(&message.sync_request(), &key_of(&message));
            let correlation = message.properties.correlation_id().clone().unwrap_or_default();
            let properties = properties().with_correlation_id(correlation);
            let options = BasicPublishOptions::default();
            // A lost connection loses answers that were not confirmed. Their asset locations are
            // settled before or after, so not every answer is sent twice nor every one once: the
            // confirm comes first.
            let sent = channel.basic_publish("".into(), to.into(), options, &body, properties);
            sent.await?.await?;
        }
        taken.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
