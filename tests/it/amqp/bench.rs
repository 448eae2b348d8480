//! The workbench of these tests: a shared broker, a virtual host per test, a handler that can be
//! told what to do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tieline::amqp::consumer::{Consumer, Settings as ConsumerSettings};
use tieline::amqp::publisher::Settings as PublisherSettings;
use tieline::amqp::{Endpoint, Publisher, RawMessage, Role, Topology};
use tieline::bridge::ports::{Handler, Receiving};
use tieline::bridge::{Arrival, Lane, Properties, StoreError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xtask::broker::{Install, Node, Options, Vhost};

/// How long anything in these tests may take. Long: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

static NODE: OnceLock<Node> = OnceLock::new();

/// Whether this machine can start brokers; says so if not.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests are told by the environment what must be there"
)]
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
    let settings = PublisherSettings { confirm_timeout: PATIENCE, ..PublisherSettings::default() };
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

impl Handler for Recorder {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        Box::pin(async move {
            self.got.send(batch).ok();
            let works = self.verdicts.lock().unwrap().pop_front().unwrap_or(true);
            if works { Ok(()) } else { Err(StoreError::Closed) }
        })
    }
}

/// A consumer at work.
pub(crate) struct Running {
    got: UnboundedReceiver<Vec<Arrival>>,
    pub(crate) health: Arc<tieline::amqp::consumer::Health>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Starts a consumer whose first batches are answered with these verdicts, and the others well.
pub(crate) fn consume(endpoint: &Endpoint, queue: &str, verdicts: &[bool]) -> Running {
    let settings = ConsumerSettings { prefetch: 50, batch_max: 20, ..ConsumerSettings::default() };
    consume_with(endpoint, queue, settings, verdicts)
}

/// The same with these limits.
#[expect(clippy::disallowed_methods, reason = "a test starts its own tasks")]
pub(crate) fn consume_with(
    endpoint: &Endpoint,
    queue: &str,
    settings: ConsumerSettings,
    verdicts: &[bool],
) -> Running {
    let (sender, got) = unbounded_channel();
    let verdicts = Arc::new(Mutex::new(verdicts.iter().copied().collect()));
    let handler = Arc::new(Recorder { got: sender, verdicts });
    let consumer = Consumer::new(endpoint.clone(), queue, settings);
    let health = consumer.health();
    let stop = CancellationToken::new();
    let task = tokio::spawn(consumer.run(handler, stop.clone()));
    Running { got, health, stop, task }
}

impl Running {
    /// The next batch.
    pub(crate) async fn next_arrivals(&mut self) -> Vec<Arrival> {
        timeout(PATIENCE, self.got.recv()).await.unwrap().unwrap()
    }

    /// The payloads of the next batch.
    pub(crate) async fn next_batch(&mut self) -> Vec<String> {
        let batch = self.next_arrivals().await;
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

    /// Fails if anything comes within this time.
    pub(crate) async fn nothing_for(&mut self, time: Duration) {
        let found = timeout(time, self.got.recv()).await;
        assert!(found.is_err(), "expected nothing, found {found:?}");
    }

    /// Asks it to stop, waits until it has, and returns what it still handed over.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
        let mut rest = Vec::new();
        while let Ok(batch) = self.got.try_recv() {
            rest.extend(
                batch.into_iter().map(|arrival| String::from_utf8(arrival.payload).unwrap()),
            );
        }
        rest
    }
}

/// Takes the first message of a queue so many times and gives it back by a rejection, which counts as a
/// delivery in every version of the broker. Returns the payloads.
pub(crate) async fn give_back(url: &str, queue: &str, times: usize) -> Vec<String> {
    reject_each(url, queue, times, BasicRejectOptions { requeue: true }).await
}

/// Rejects the first messages of a queue for good. Returns the payloads.
pub(crate) async fn reject(url: &str, queue: &str, count: usize) -> Vec<String> {
    reject_each(url, queue, count, BasicRejectOptions { requeue: false }).await
}

/// Takes one message after the other, as a consumer does: a queue with a single active consumer can
/// be asked for nothing.
async fn reject_each(
    url: &str,
    queue: &str,
    count: usize,
    options: BasicRejectOptions,
) -> Vec<String> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
    let (consume, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), consume, none).await.unwrap();
    let mut deliveries = consumer.take(count);
    let mut payloads = Vec::new();
    while let Some(delivery) = timeout(PATIENCE, deliveries.next()).await.unwrap() {
        let delivery = delivery.unwrap();
        delivery.reject(options).await.unwrap();
        payloads.push(String::from_utf8(delivery.data).unwrap());
    }
    connection.close(200, "done".into()).await.unwrap();
    payloads
}

/// Has a quorum queue of the shared broker answer nobody for a while. Ends when it does again.
pub(crate) fn keep_busy(vhost: &str, queue: &str) -> JoinHandle<()> {
    let suspend = format!(
        "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, <<\"{queue}\">>)), \
         {{Leader, _}} = amqqueue:get_pid(Queue), \
         sys:suspend(Leader), timer:sleep(3000), sys:resume(Leader)."
    );
    spawn_blocking(move || {
        node().ctl(&["eval", &suspend]).unwrap();
    })
}

/// `{prefix}{n}` for each number of the range.
pub(crate) fn names(prefix: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{prefix}{n}")).collect()
}

/// The management API of the shared broker.
pub(crate) struct Api(reqwest::Client);

impl Api {
    pub(crate) fn new() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        Self(reqwest::Client::new())
    }

    pub(crate) async fn put(&self, path: &[&str], body: &Value) {
        self.call(Method::PUT, path, body).await;
    }

    pub(crate) async fn delete(&self, path: &[&str]) {
        self.call(Method::DELETE, path, &json!({})).await;
    }

    /// Takes a queue's first message and rejects it.
    pub(crate) async fn reject_one(&self, vhost: &str, queue: &str) {
        self.take_one(vhost, queue, "reject_requeue_false").await;
    }

    /// Takes a queue's first message and gives it back.
    pub(crate) async fn look_at_one(&self, vhost: &str, queue: &str) {
        self.take_one(vhost, queue, "ack_requeue_true").await;
    }

    async fn take_one(&self, vhost: &str, queue: &str, mode: &str) {
        let body = json!({ "count": 1, "ackmode": mode, "encoding": "auto" });
        let answer = self.call(Method::POST, &["queues", vhost, queue, "get"], &body).await;
        assert_eq!(serde_json::from_str::<Vec<Value>>(&answer).unwrap().len(), 1);
    }

    async fn call(&self, method: Method, path: &[&str], body: &Value) -> String {
        let mut url: Url = node().management_url().unwrap().parse().unwrap();
        url.path_segments_mut().unwrap().pop_if_empty().push("api").extend(path);
        let answer = self.0.request(method, url).json(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path:?}: {status} {text}");
        text
    }
}

/// Messages of a queue that a connection holds.
pub(crate) struct Held {
    connection: Connection,
    /// Consumes until it is dropped.
    _consumer: Option<lapin::Consumer>,
}

impl Held {
    /// Gives them back by closing the connection.
    pub(crate) async fn let_go(self) {
        self.connection.close(200, "done".into()).await.unwrap();
    }
}

/// Takes a message of a queue and holds it.
pub(crate) async fn hold(endpoint: &Endpoint, queue: &str) -> Held {
    let url = format!("amqp://guest:guest@{}/{}", endpoint.address(), endpoint.vhost());
    let options = ConnectionProperties::default();
    let connection = Connection::connect(&url, options).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = lapin::options::BasicGetOptions::default();
    assert!(channel.basic_get(queue.into(), options).await.unwrap().is_some());
    Held { connection, _consumer: None }
}

/// Consumes a queue, and settles nothing of the first so many messages.
pub(crate) async fn hold_by_consuming(url: &str, queue: &str, prefetch: u16) -> Held {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.unwrap();
    let (consume, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), consume, none).await.unwrap();
    Held { connection, _consumer: Some(consumer) }
}
