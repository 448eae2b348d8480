//! The workbench of these tests: a shared broker, a virtual host per test, a handler that can be
//! told what to do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tieline::amqp::consumer::{Consumer, Settings as ConsumerSettings};
use tieline::amqp::publisher::Settings as PublisherSettings;
use tieline::amqp::{Endpoint, Publisher, RawMessage, Role, Topology};
use tieline::bridge::ports::Handler;
use tieline::bridge::{Arrival, Lane, Properties, StoreError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xtask::broker::{Install, Node, Options, Vhost};

/// How long anything in these tests may take. Long: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NODE: OnceLock<Node> = OnceLock::new();

/// Whether this machine can start brokers; says so if not.
pub(crate) fn has_rabbitmq() -> bool {
    let Err(absent) = Install::find() else { return true };
    let require = std::env::var("TIELINE_TEST_REQUIRE");
    assert!(require.as_deref() != Ok("all"), "{absent}");
    eprintln!("left out: {absent}");
    false
}

/// The broker that all tests share but those which stop, kill or starve theirs.
pub(crate) fn node() -> &'static Node {
    NODE.get_or_init(|| Node::start_with(Options::new().management()).unwrap())
}

/// A virtual host of the shared broker with the whole topology, and an endpoint for it.
pub(crate) async fn site(test: &str) -> (Vhost, Endpoint) {
    let vhost = node().vhost(test).unwrap();
    let endpoint = endpoint(&vhost.url);
    Topology::built_in().declare(&endpoint, &Role::ALL).await.unwrap();
    (vhost, endpoint)
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint::new("broker", &url.to_owned().into()).unwrap()
}

pub(crate) fn publisher(endpoint: &Endpoint, lane: Lane) -> Publisher {
    let settings = PublisherSettings { confirm_timeout: PATIENCE };
    Publisher::new(endpoint.clone(), Topology::built_in(), lane, settings)
}

/// A persistent message for a queue by way of the default exchange.
pub(crate) fn message(queue: &str, id: &str) -> RawMessage {
    RawMessage {
        exchange: String::new(),
        routing_key: queue.to_owned(),
        properties: Properties {
            message_id: Some(id.to_owned()),
            delivery_mode: Some(2),
            ..Properties::default()
        },
        payload: id.as_bytes().to_vec(),
        mandatory: true,
    }
}

/// Publishes messages named `{prefix}0`, `{prefix}1`, … to a queue.
pub(crate) async fn fill(endpoint: &Endpoint, queue: &str, prefix: &str, count: usize) {
    let publisher = publisher(endpoint, Lane::Location);
    let messages: Vec<_> = (0..count).map(|n| message(queue, &format!("{prefix}{n}"))).collect();
    for result in publisher.publish_raw(&messages).await {
        result.unwrap();
    }
    publisher.close().await;
}

/// What a handler answers to its next batches; `true` when they are used up.
type Verdicts = Arc<Mutex<VecDeque<bool>>>;

/// A handler that tells the test what it got, and fails when told to.
struct Recorder {
    got: UnboundedSender<Vec<Arrival>>,
    verdicts: Verdicts,
}

#[async_trait]
impl Handler for Recorder {
    async fn receive(&self, batch: Vec<Arrival>) -> Result<(), StoreError> {
        self.got.send(batch).ok();
        let works = self.verdicts.lock().unwrap().pop_front().unwrap_or(true);
        if works { Ok(()) } else { Err(StoreError::Closed) }
    }
}

/// A consumer at work.
pub(crate) struct Running {
    pub(crate) got: UnboundedReceiver<Vec<Arrival>>,
    pub(crate) health: Arc<tieline::amqp::consumer::Health>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Starts a consumer whose first batches are answered with these verdicts, and the others well.
pub(crate) fn consume(endpoint: &Endpoint, queue: &str, verdicts: &[bool]) -> Running {
    let (sender, got) = unbounded_channel();
    let verdicts = Arc::new(Mutex::new(verdicts.iter().copied().collect()));
    let handler = Arc::new(Recorder { got: sender, verdicts });
    let settings = ConsumerSettings { prefetch: 50, batch_max: 20 };
    let consumer = Consumer::new(endpoint.clone(), queue, settings);
    let health = consumer.health();
    let stop = CancellationToken::new();
    let task = tokio::spawn(consumer.run(handler, stop.clone()));
    Running { got, health, stop, task }
}

impl Running {
    /// The payloads of the next batch.
    pub(crate) async fn next_batch(&mut self) -> Vec<String> {
        let batch = timeout(PATIENCE, self.got.recv()).await.unwrap().unwrap();
        batch.into_iter().map(|arrival| String::from_utf8(arrival.payload).unwrap()).collect()
    }

    /// The payloads of the next so many deliveries.
    pub(crate) async fn next(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::new();
        while payloads.len() < count {
            payloads.extend(self.next_batch().await);
        }
        payloads
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

/// Takes what is left on a queue, by way of a consumer of its own, until `expected` is there.
pub(crate) fn names(prefix: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{prefix}{n}")).collect()
}
