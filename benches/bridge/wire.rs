//! A connection to the broker as the yardstick programs and the stand-ins have it: lapin, and
//! nothing between.
//!
//! Every publish is polled once, which queues its frames in order; its confirm is awaited later
//! (see [`Pipeline`]). Awaiting each publish before the next costs a change of threads a message.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use crate::Result;

/// How many messages the broker sends ahead of their settlement, and how many are published ahead
/// of their confirms.
pub(crate) const WINDOW: u16 = 1000;

/// Said explicitly, because lapin otherwise allocates for the largest that a broker may propose.
const FRAME_BYTES_MAX: u32 = 131_072;

/// A connection with one channel in confirm mode.
pub(crate) struct Wire {
    connection: Connection,
    channel: Channel,
}

impl Wire {
    /// Connects.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let url = format!("{url}?frame_max={FRAME_BYTES_MAX}&heartbeat=30");
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    /// Counts the messages that wait on a queue.
    pub(crate) async fn depth(&self, queue: &str) -> Result<u64> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue =
            self.channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        Ok(u64::from(queue.message_count()))
    }

    /// Removes the messages that wait on a queue.
    pub(crate) async fn purge(&self, queue: &str) -> Result<()> {
        self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        Ok(())
    }

    /// A way to publish on this connection.
    pub(crate) fn pipeline<T>(&self) -> Pipeline<T> {
        Pipeline { channel: self.channel.clone(), waiting: VecDeque::new() }
    }

    /// Closes the connection.
    pub(crate) async fn close(self) -> Result<()> {
        self.connection.close(200, "done".into()).await?;
        Ok(())
    }
}

/// A message that goes out.
pub(crate) struct Letter {
    pub(crate) exchange: &'static str,
    pub(crate) key: &'static str,
    pub(crate) properties: BasicProperties,
    pub(crate) payload: Arc<[u8]>,
}

type Sending = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// Publishes without waiting for each, and tells in order what the broker has; `T` is what the
/// publisher remembers of a message until then.
pub(crate) struct Pipeline<T> {
    channel: Channel,
    waiting: VecDeque<(T, Sending)>,
}

impl<T> Pipeline<T> {
    /// Begins to publish.
    pub(crate) fn publish(&mut self, letter: Letter, about: T) {
        let channel = self.channel.clone();
        let mut sending: Sending = Box::pin(async move {
            let Letter { exchange, key, properties, payload } = letter;
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let sent = channel
                .basic_publish(exchange.into(), key.into(), options, &payload, properties)
                .await?;
            sent.await
        });
        let begun = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let sending = match begun {
            Poll::Ready(done) => Box::pin(std::future::ready(done)),
            Poll::Pending => sending,
        };
        self.waiting.push_back((about, sending));
    }

    /// Whether no more should be published before some are confirmed.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= usize::from(WINDOW)
    }

    /// Whether everything is confirmed.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What was said about the next message, once it is confirmed; waits for ever if none is under
    /// way.
    pub(crate) async fn confirmed(&mut self) -> Result<T> {
        poll_fn(|context| self.poll_front(context)).await
    }

    fn poll_front(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        let Some((_, sending)) = self.waiting.front_mut() else { return Poll::Pending };
        let Poll::Ready(done) = sending.as_mut().poll(context) else { return Poll::Pending };
        let front = self.waiting.pop_front();
        Poll::Ready(match (done, front) {
            (Ok(Confirmation::Ack(None)), Some((about, _))) => Ok(about),
            (Ok(other), _) => Err(format!("expected a confirm, found {other:?}").into()),
            (Err(error), _) => Err(error.into()),
        })
    }
}
