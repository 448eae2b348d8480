//! What lapin cannot read, while something else is on its way into the store.

use std::sync::Arc;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tieline::amqp::consumer::{Consumer, Settings};
use tieline::bridge::Arrival;
use tieline::bridge::ports::{Handler, Receiving};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bench::{PATIENCE, fill, has_rabbitmq, site};
use crate::support::Raw;

const QUEUE: &str = "ccb.sp.request";

/// A handler that tells what it was given, and records nothing until it is let.
struct Held {
    given: UnboundedSender<Vec<Arrival>>,
    released: Arc<Semaphore>,
}

impl Handler for Held {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        self.given.send(batch).ok();
        Box::pin(async {
            drop(self.released.acquire().await.unwrap());
            Ok(())
        })
    }
}

/// The settlement of what was recorded fails first then, and does not say why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "a test starts its own tasks")]
async fn what_lapin_cannot_read_is_known_for_that_while_a_batch_is_being_recorded() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("unreadable").await;
    let (given, mut got) = unbounded_channel();
    let released = Arc::new(Semaphore::new(0));
    let consumer = Consumer::new(endpoint.clone(), QUEUE, Settings::default());
    let health = consumer.health();
    let stop = CancellationToken::new();
    let handler = Arc::new(Held { given, released: Arc::clone(&released) });
    let task = tokio::spawn(consumer.run(handler, stop.clone()));

    // The first is being recorded, the second is read and waits for that.
    for name in ["first", "second"] {
        fill(&endpoint, QUEUE, name, 1).await;
        timeout(PATIENCE, got.recv()).await.unwrap().unwrap();
    }
    // A correlation id in ISO-8859-1. Whoever was consuming is gone then.
    Raw::connect(&vhost.url).publish(QUEUE, b"\x04\0\x04caf\xe9", b"bad");
    until_nobody_consumes(&vhost.url).await;
    released.add_permits(1);

    let mut unreadable = None;
    while unreadable.is_none() {
        let batch = timeout(PATIENCE, got.recv()).await.unwrap().unwrap();
        unreadable = batch.into_iter().find_map(|arrival| arrival.properties.unreadable);
    }
    assert_eq!(health.facts().generation, 1, "it knew why at once");
    stop.cancel();
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

async fn until_nobody_consumes(url: &str) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let look = async || {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(QUEUE.into(), passive, FieldTable::default()).await;
        queue.unwrap().consumer_count()
    };
    let gone = async {
        while look().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    connection.close(200, "done".into()).await.unwrap();
}
