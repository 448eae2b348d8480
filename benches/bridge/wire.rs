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

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};

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

    /// Consumes a queue.
    pub(crate) async fn consume(&self, queue: &str) -> Result<Consumer> {
        self.channel.basic_qos(WINDOW, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        Ok(self
            .channel
            .basic_consume(queue.into(), "".into(), options, FieldTable::default())
            .await?)
    }

    /// A way to publish on this connection.
    pub(crate) fn pipeline<T>(&self) -> Pipeline<T> {
        Pipeline { channel: self.channel.clone(), waiting: VecDeque::new() }
    }

    /// Settles everything that was delivered up to this one.
    ///
    /// The first poll queues the frame; that it was written need not be awaited, as the next
    /// settlement covers it.
    pub(crate) fn settle_up_to(&self, tag: u64) {
        let settling = self.channel.basic_ack(tag, BasicAckOptions { multiple: true });
        drop(settling.now_or_never());
    }

    /// The same, and waits until it was written.
    pub(crate) async fn settle_last(&self, tag: u64) -> Result<()> {
        self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
        Ok(())
    }

    /// Closes the connection.
    pub(crate) async fn close(self) -> Result<()> {
        self.connection.close(200, "done".into()).await?;
        Ok(())
    }
}

/// The next delivery.
pub(crate) async fn next(consumer: &mut Consumer) -> Result<Delivery> {
    Ok(consumer.next().await.ok_or("the broker ended the consumer")??)
}

/// The next delivery, if it is here already.
pub(crate) fn next_now(consumer: &mut Consumer) -> Result<Option<Delivery>> {
    match consumer.next().now_or_never() {
        Some(Some(delivery)) => Ok(Some(delivery?)),
        Some(None) => Err("the broker ended the consumer".into()),
        None => Ok(None),
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

    /// What was said about the next message, if it is confirmed already.
    pub(crate) fn confirmed_now(&mut self) -> Result<Option<T>> {
        match self.poll_front(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done.map(Some),
            Poll::Pending => Ok(None),
        }
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
