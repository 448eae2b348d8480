//! What lapin cannot read: while something else is on its way into the store, while the store is
//! out, when the bridge is stopped, and again and again.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tieline::amqp::consumer::{Consumer, Settings};
use tieline::bridge::ports::{Handler, Receiving};
use tieline::bridge::{Arrival, HeaderValue};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bench::{PATIENCE, consume, endpoint, fill, has_rabbitmq, names, site};
use crate::support::{Raw, long};

const QUEUE: &str = "ccb.sp.request";

/// A correlation id in ISO-8859-1.
const UNREADABLE: &[u8] = b"\x04\0\x04caf\xe9";

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
    let settings = Settings { batch_max: 1, ..Settings::default() };
    let consumer = Consumer::new(endpoint.clone(), QUEUE, settings);
    let health = consumer.health();
    let stop = CancellationToken::new();
    let handler = Arc::new(Held { given, released: Arc::clone(&released) });
    let task = tokio::spawn(consumer.run(handler, stop.clone()));

    // The first is being recorded, the second is read and waits for that.
    for name in ["first", "second"] {
        fill(&endpoint, QUEUE, name, 1).await;
        timeout(PATIENCE, got.recv()).await.unwrap().unwrap();
    }
    // Whoever was consuming is gone then.
    Raw::connect(&vhost.url).publish(QUEUE, UNREADABLE, b"bad");
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

/// Else each attempt would count towards the delivery limit, of those behind it too.
#[tokio::test]
async fn an_outage_of_the_store_costs_what_lapin_cannot_read_two_deliveries() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("unreadable-outage").await;
    Raw::connect(&vhost.url).publish(QUEUE, UNREADABLE, b"bad");
    let mut consumer = consume(&endpoint, QUEUE, &[false; 5]);
    for _ in 0..6 {
        let batch = consumer.next_arrivals().await;
        let headers = &batch[0].properties.headers;
        let count = headers.iter().find(|(name, _)| name == "x-delivery-count");
        assert_eq!(count.map(|(_, count)| count), Some(&HeaderValue::Integer(1)));
    }
    assert_eq!(consumer.health.facts().generation, 1);
    consumer.stop().await;
}

#[tokio::test]
async fn stopping_while_reading_with_care_loses_nothing_and_keeps_the_order() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("unreadable-stop").await;
    let mut raw = Raw::connect(&vhost.url);
    for name in names("m", 0..100) {
        raw.publish(QUEUE, UNREADABLE, name.as_bytes());
    }
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let mut consumer = consume(&endpoint, QUEUE, &[]);
        seen.extend(consumer.next_batch().await);
        seen.extend(consumer.stop().await);
        // What the broker had not come to when the channel closed may come again.
        let mut first = BTreeSet::new();
        seen.retain(|name| first.insert(name.clone()));
    }
    assert_eq!(seen, names("m", 0..100));
}

/// Two connections for each would keep broker and bridge busy with nothing else.
#[tokio::test]
async fn who_goes_on_sending_what_lapin_cannot_read_costs_few_connections() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("unreadable-again").await;
    let mut raw = Raw::connect(&vhost.url);
    let mut consumer = consume(&endpoint, QUEUE, &[]);
    for name in names("m", 0..20) {
        raw.publish(QUEUE, UNREADABLE, name.as_bytes());
        assert_eq!(consumer.next_batch().await, [name]);
        // Longer than the careful reader waits at first.
        consumer.nothing_for(Duration::from_millis(450)).await;
    }
    let facts = consumer.health.facts();
    assert!(facts.generation <= 4, "{facts:?}");
    assert_eq!((facts.read_with_care, facts.unreadable), (20, 20));
    consumer.stop().await;
}

/// The broker is a script here: none stores what could not be told from garbage.
#[tokio::test]
async fn what_nobody_can_read_is_tried_ever_more_rarely() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://guest:guest@{}/%2f", listener.local_addr().unwrap());
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dialled);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || deliver_garbage(stream.unwrap()).ok());
        }
    });
    let mut consumer = consume(&endpoint(&url), QUEUE, &[]);
    consumer.nothing_for(Duration::from_secs(10)).await;
    // Two for each try; without a wait it would be hundreds.
    let dialled = dialled.load(Ordering::Relaxed);
    assert!((4..=50).contains(&dialled), "{dialled} connections");
    let trouble = consumer.health.facts().trouble.unwrap();
    assert!(trouble.contains("at the end of a frame"), "{trouble}");
    consumer.stop().await;
}

/// Speaks just enough of the protocol to be consumed from, and then sends a frame without an end.
fn deliver_garbage(mut client: TcpStream) -> std::io::Result<()> {
    let frame = |channel: u8, method: [u8; 4], arguments: &[u8]| {
        let size = u32::try_from(4 + arguments.len()).unwrap().to_be_bytes();
        [&[1, 0, channel][..], &size, &method, arguments, &[0xce]].concat()
    };
    client.read_exact(&mut [0; 8])?;
    let start = [&[0, 9][..], &long(b""), &long(b"PLAIN"), &long(b"en_US")].concat();
    client.write_all(&frame(0, [0, 10, 0, 10], &start))?;
    loop {
        let mut head = [0; 7];
        client.read_exact(&mut head)?;
        let size = u32::from_be_bytes(head[3..].try_into().unwrap()) as usize;
        let mut payload = vec![0; size + 1];
        client.read_exact(&mut payload)?;
        let answer = match payload[..payload.len().min(4)] {
            [0, 10, 0, 11] => frame(0, [0, 10, 0, 30], &[0, 0, 0, 2, 0, 0, 0, 0]),
            [0, 10, 0, 40] => frame(0, [0, 10, 0, 41], &[0]),
            [0, 20, 0, 10] => frame(1, [0, 20, 0, 11], &long(b"")),
            [0, 60, 0, 10] => frame(1, [0, 60, 0, 11], &[]),
            [0, 60, 0, 20] => {
                let garbage = b"\x02\0\x01\0\0\0\x01xx";
                [&frame(1, [0, 60, 0, 21], b"\x07tieline")[..], garbage].concat()
            }
            _ => continue,
        };
        client.write_all(&answer)?;
    }
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
