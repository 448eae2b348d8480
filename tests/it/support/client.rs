//! A system outside the bridge: a connection of its own to the broker, plain AMQP, nothing else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicRejectOptions,
    ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::Message;
use super::wait::{PATIENCE, fail, rest};

/// The runtime on which every client lives.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    })
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// What every message of billing and asset management carries here.
pub(crate) fn properties() -> BasicProperties {
    BasicProperties::default().with_content_type("application/xml".into()).with_delivery_mode(2)
}

/// After this long, the broker tells of a quorum queue as empty without having heard from it
/// (`stat/2` of RabbitMQ's `rabbit_quorum_queue`).
const TOLD_UNASKED: Duration = Duration::from_millis(250);

/// How often it is asked about a queue that is too busy to answer.
const ASKED_MAX: usize = 20;

/// A connection of a system outside the bridge.
pub(crate) struct Client {
    connection: Connection,
    publishing: Channel,
    consumers: RefCell<HashMap<String, Consumer>>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(url: &str) -> Self {
        wait_for(async {
            let options = ConnectionProperties::default();
            let connection = Connection::connect(url, options).await.unwrap();
            let publishing = connection.create_channel().await.unwrap();
            publishing.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
            Self { connection, publishing, consumers: RefCell::default() }
        })
    }

    /// Publishes to a queue by the default exchange, and returns when the broker has it.
    #[track_caller]
    pub(crate) fn publish(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        self.publish_to("", queue, body, properties);
    }

    /// Publishes to an exchange, and returns when the broker has it on a queue.
    #[track_caller]
    pub(crate) fn publish_to(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmation = wait_for(async {
            let publishing = &self.publishing;
            let confirm =
                publishing.basic_publish(exchange.into(), key.into(), options, body, properties);
            confirm.await.unwrap().await.unwrap()
        });
        assert!(confirmation.is_ack(), "publish to '{exchange}' '{key}': {confirmation:?}");
        let returned = confirmation.take_message();
        assert!(returned.is_none(), "publish to '{exchange}' '{key}': no queue took it");
    }

    /// Publishes many to a queue, with one wait for all confirms.
    pub(crate) fn publish_all(&self, queue: &str, bodies: &[Vec<u8>]) {
        wait_for(async {
            for body in bodies {
                let options = BasicPublishOptions::default();
                let publishing = &self.publishing;
                let confirm =
                    publishing.basic_publish("".into(), queue.into(), options, body, properties());
                drop(confirm.await.unwrap());
            }
            let returned = self.publishing.wait_for_confirms().await.unwrap();
            assert!(returned.is_empty(), "{} messages were returned", returned.len());
        });
    }

    /// Takes the next message of a queue.
    #[track_caller]
    pub(crate) fn next(&self, queue: &str) -> Message {
        match self.settle_next(queue, Settle::Ack) {
            Some(message) => message,
            None => fail(&format!("expected a message on {queue}, and none came in {PATIENCE:?}")),
        }
    }

    /// Takes so many messages of a queue.
    #[track_caller]
    pub(crate) fn take(&self, queue: &str, count: usize) -> Vec<Message> {
        (0..count).map(|_| self.next(queue)).collect()
    }

    /// Rejects the next message of a queue for good, so that the broker dead-letters it.
    #[track_caller]
    pub(crate) fn reject_next(&self, queue: &str) {
        if self.settle_next(queue, Settle::Reject).is_none() {
            fail(&format!("expected a message on {queue}, and none came in {PATIENCE:?}"));
        }
    }

    /// How many messages of a queue wait for a consumer; nothing if there is no such queue.
    pub(crate) fn depth(&self, queue: &str) -> Option<u32> {
        wait_for(async {
            // A queue that is not there closes the channel.
            let channel = self.connection.create_channel().await.unwrap();
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let mut depth = None;
            for _ in 0..ASKED_MAX {
                let (begun, none) = (Instant::now(), FieldTable::default());
                let asked = channel.queue_declare(queue.into(), options, none).await;
                depth = asked.ok().map(|queue| queue.message_count());
                if depth != Some(0) || begun.elapsed() < TOLD_UNASKED {
                    break;
                }
            }
            drop(channel.close(200, "done".into()).await);
            depth
        })
    }

    /// Makes a durable queue with these arguments.
    pub(crate) fn declare(&self, queue: &str, arguments: FieldTable) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.on_a_channel(async |channel| {
            channel.queue_declare(queue.into(), options, arguments).await.map(drop)
        });
    }

    /// Deletes a queue with all that is in it.
    pub(crate) fn delete(&self, queue: &str) {
        self.consumers.borrow_mut().remove(queue);
        self.on_a_channel(async |channel| {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map(drop)
        });
    }

    /// Deletes a queue if it and the broker are there.
    pub(super) fn try_delete(&self, queue: &str) {
        self.consumers.borrow_mut().remove(queue);
        wait_for(async {
            if let Ok(channel) = self.connection.create_channel().await {
                drop(channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await);
                drop(channel.close(200, "done".into()).await);
            }
        });
    }

    /// Binds a queue to an exchange.
    pub(crate) fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let options = QueueBindOptions::default();
        self.on_a_channel(async |channel| {
            let none = FieldTable::default();
            channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await
        });
    }

    /// Takes a queue from an exchange.
    pub(crate) fn unbind(&self, queue: &str, exchange: &str, key: &str) {
        self.on_a_channel(async |channel| {
            let none = FieldTable::default();
            channel.queue_unbind(queue.into(), exchange.into(), key.into(), none).await
        });
    }

    fn on_a_channel(&self, act: impl AsyncFnOnce(Channel) -> lapin::Result<()>) {
        wait_for(async {
            let channel = self.connection.create_channel().await.unwrap();
            act(channel.clone()).await.unwrap();
            drop(channel.close(200, "done".into()).await);
        });
    }

    fn settle_next(&self, queue: &str, settle: Settle) -> Option<Message> {
        let start = Instant::now();
        wait_for(async {
            loop {
                let left = PATIENCE.checked_sub(start.elapsed())?;
                let taken = timeout(left, self.delivery(queue, settle)).await.ok()?;
                if taken.is_some() {
                    return taken;
                }
                // The queue is not there (any more), and may come back.
                rest().await;
            }
        })
    }

    /// The next delivery of a queue's consumer; nothing if the queue is gone.
    async fn delivery(&self, queue: &str, settle: Settle) -> Option<Message> {
        let known = self.consumers.borrow_mut().remove(queue);
        let mut consumer = if let Some(consumer) = known {
            consumer
        } else {
            let channel = self.connection.create_channel().await.unwrap();
            consume(&channel, queue).await.ok()?
        };
        let delivery = consumer.next().await?.ok()?;
        match settle {
            Settle::Ack => delivery.ack(BasicAckOptions::default()).await.ok()?,
            Settle::Reject => delivery.reject(BasicRejectOptions { requeue: false }).await.ok()?,
        };
        self.consumers.borrow_mut().insert(queue.to_owned(), consumer);
        Some(Message::of(delivery))
    }
}

/// What a client does with a delivery.
#[derive(Clone, Copy)]
enum Settle {
    Ack,
    Reject,
}

/// Begins to consume a queue.
pub(super) async fn consume(channel: &Channel, queue: &str) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await
}
