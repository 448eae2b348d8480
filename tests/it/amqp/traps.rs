//! Traps of the broker and of the client library that would lose, reorder or hold up messages, each
//! on whichever broker the tests run on. `docs/reliability.md` lists them with those that are held
//! elsewhere.

use std::fs;

use tieline::amqp::{Endpoint, Role, Topology};
use tieline::bridge::message::{Outgoing, What};
use tieline::bridge::ports::{Leased, Publisher as _};
use tieline::bridge::{HeaderValue, Lane};
use tieline::domain::{RequestId, SyncRequestId};

use super::bench::{
    Api, consume, fill, give_back, has_rabbitmq, names, node, publisher, reject, site,
};

const QUEUE: &str = "ccb.sp.request";
const ERRORS: &str = "ccb.sp.request.error";

/// The delivery limit of a RabbitMQ 4 for queues that say nothing.
const DEFAULT_LIMIT: usize = 20;

/// The delivery limit of the built-in topology.
const OWN_LIMIT: usize = 100;

/// What the broker says when it throws away what it promised to keep.
const GIVES_UP: &str = "Falling back";

/// Whatever is on a queue, in order.
async fn rest_of(endpoint: &Endpoint, queue: &str, count: usize) -> Vec<String> {
    let mut consumer = consume(endpoint, queue, &[]);
    let mut got = consumer.next(count).await;
    got.extend(consumer.stop().await);
    got
}

/// A crash loop gives everything back again and again, and so does a person who looks at an error
/// queue.
#[tokio::test]
async fn the_default_delivery_limit_of_a_newer_broker_takes_nothing_away() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("default-limit").await;
    for queue in [QUEUE, ERRORS] {
        fill(&endpoint, queue, "m", 1).await;
        give_back(&vhost.url, queue, DEFAULT_LIMIT + 5).await;
        assert_eq!(rest_of(&endpoint, queue, 1).await, ["m0"], "{queue}");
    }
}

#[tokio::test]
async fn what_exceeds_the_delivery_limit_comes_to_the_error_queue() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("own-limit").await;
    fill(&endpoint, QUEUE, "m", 1).await;
    give_back(&vhost.url, QUEUE, OWN_LIMIT + 1).await;
    let mut desk = consume(&endpoint, ERRORS, &[]);
    let dead = desk.next_arrivals().await;
    assert_eq!(dead[0].payload, b"m0");
    assert_eq!(dead[0].properties.header("x-first-death-queue"), Some(QUEUE));
    assert_eq!(dead[0].properties.header("x-first-death-reason"), Some("delivery_limit"));
    desk.stop().await;
}

/// The broker keeps dead letters only if strategy, overflow and target all say so; if not, it says
/// that it falls back, and throws them away.
#[tokio::test]
async fn what_is_rejected_while_the_error_queue_is_missing_comes_there_later() {
    if !has_rabbitmq() {
        return;
    }
    // It tries again after three minutes otherwise.
    let sooner = "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 1000).";
    node().ctl(&["eval", sooner]).unwrap();
    let (vhost, endpoint) = site("no-target").await;
    fill(&endpoint, QUEUE, "m", 10).await;
    Api::new().delete(&["queues", &vhost.name, ERRORS]).await;
    assert_eq!(reject(&vhost.url, QUEUE, 10).await, names("m", 0..10));
    Topology::built_in().declare(&endpoint, &Role::ALL).await.unwrap();
    let mut got = rest_of(&endpoint, ERRORS, 10).await;
    got.sort_unstable();
    got.dedup();
    assert_eq!(got, names("m", 0..10));
    let log = fs::read_to_string(node().dir().join("log/rabbit.log")).unwrap();
    let gives_up = |line: &&str| line.contains(GIVES_UP) && line.contains(&vhost.name);
    assert_eq!(log.lines().find(gives_up), None);
}

/// Without a delivery limit it would go to the end.
#[tokio::test]
async fn what_is_given_back_keeps_its_place() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("place").await;
    fill(&endpoint, QUEUE, "m", 5).await;
    assert_eq!(give_back(&vhost.url, QUEUE, 3).await, ["m0"; 3]);
    assert_eq!(rest_of(&endpoint, QUEUE, 5).await, names("m", 0..5));
}

/// A header of 200 KB is too large for a frame, for which the broker ends the connection and with it
/// everything that is under way on it.
#[tokio::test]
async fn a_long_text_in_a_header_is_cut_and_ends_no_connection() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("long-text").await;
    let publisher = publisher(&endpoint, Lane::Reply);
    let request: RequestId = "5e0fd2a0-0000-5000-8000-000000000000".parse().unwrap();
    let window: Vec<_> = (1..=3)
        .map(|place| Leased {
            place,
            message: Outgoing {
                message_id: request.reply(u16::try_from(place).unwrap()),
                payload: b"<ack/>".to_vec(),
                what: What::Reply {
                    request,
                    sync_request: SyncRequestId::new("85810617092033").unwrap(),
                    service_point: None,
                    correlation: "ü".repeat(100_000),
                    outcome: "ü".repeat(100_000),
                },
                trace: None,
            },
        })
        .collect();
    assert_eq!(publisher.publish(&window).await, [Ok(()), Ok(()), Ok(())]);
    let mut billing = consume(&endpoint, "ccb.sp.ack", &[]);
    let reply = billing.next_arrivals().await.remove(0).properties;
    let outcome = reply.headers.iter().find(|(name, _)| name == "tieline-outcome");
    let cut = HeaderValue::Text("ü".repeat(512));
    assert_eq!(outcome.map(|(_, outcome)| outcome), Some(&cut));
    assert_eq!(reply.correlation_id, Some("ü".repeat(127)));
    billing.stop().await;
}
