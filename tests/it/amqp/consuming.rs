//! Consuming: settled once durable, given back otherwise, in order.

use std::time::{Duration, Instant};

use tieline::amqp::{Role, Topology};
use tieline::bridge::HeaderValue;

use super::bench::{Api, PATIENCE, consume, fill, has_rabbitmq, names, node, site};

const QUEUE: &str = "ccb.sp.request";

/// Short outages of the store on end.
const OUTAGES: usize = 12;

/// How long they may take, also on a busy machine.
const OUTAGES_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn deliveries_are_handed_over_in_order_and_settled() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("order").await;
    fill(&endpoint, QUEUE, "m", 100).await;
    let mut consumer = consume(&endpoint, QUEUE, &[]);
    assert_eq!(consumer.next(100).await, names("m", 0..100));
    consumer.stop().await;
    // Nothing comes again before what is published now.
    fill(&endpoint, QUEUE, "later", 1).await;
    let mut consumer = consume(&endpoint, QUEUE, &[]);
    assert_eq!(consumer.next_batch().await, ["later0"]);
    consumer.stop().await;
}

#[tokio::test]
async fn what_the_store_did_not_take_comes_again_in_its_place() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("store-error").await;
    fill(&endpoint, QUEUE, "m", 30).await;
    let mut consumer = consume(&endpoint, QUEUE, &[false]);
    assert_eq!(consumer.next_batch().await[0], "m0");
    assert_eq!(consumer.next(30).await, names("m", 0..30));
    assert_eq!(consumer.health.facts().generation, 2);
    consumer.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_store_costs_one_delivery_and_not_one_per_attempt() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("store-outage").await;
    fill(&endpoint, QUEUE, "m", 1).await;
    let mut consumer = consume(&endpoint, QUEUE, &[false; 6]);
    for attempt in 0..7 {
        let batch = consumer.next_arrivals().await;
        let headers = &batch[0].properties.headers;
        let count = headers.iter().find(|(name, _)| name == "x-delivery-count");
        let expected = (attempt > 0).then_some(HeaderValue::Integer(1));
        assert_eq!(count.map(|(_, count)| count.clone()), expected, "attempt {attempt}");
    }
    consumer.stop().await;
}

/// A store that failed says nothing against the broker: twelve short outages on end kept the queue
/// waiting for half a minute each, as if it were the broker that was lost again and again.
#[tokio::test]
async fn outages_of_the_store_on_end_make_nobody_wait_longer_each_time() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("store-outages").await;
    let mut consumer = consume(&endpoint, QUEUE, &[false, true].repeat(OUTAGES));
    let begun = Instant::now();
    for _ in 0..OUTAGES {
        fill(&endpoint, QUEUE, "m", 1).await;
        for _attempt in 0..2 {
            assert_eq!(consumer.next_batch().await, ["m0"]);
        }
    }
    let took = begun.elapsed();
    assert!(took < OUTAGES_MAX, "{took:?}, expected at most {OUTAGES_MAX:?}");
    consumer.stop().await;
}

#[tokio::test]
async fn stopping_in_mid_flight_loses_nothing_and_repeats_nothing() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("stop").await;
    fill(&endpoint, QUEUE, "m", 500).await;
    let mut seen = Vec::new();
    // Each consumer is stopped with deliveries in hand and more on the way.
    while seen.len() < 500 {
        let mut consumer = consume(&endpoint, QUEUE, &[]);
        seen.extend(consumer.next_batch().await);
        seen.extend(consumer.stop().await);
    }
    assert_eq!(seen, names("m", 0..500));
}

#[tokio::test]
async fn after_killed_connections_everything_comes_and_first_sightings_keep_their_order() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("killed").await;
    fill(&endpoint, QUEUE, "m", 300).await;
    let mut consumer = consume(&endpoint, QUEUE, &[]);
    let mut seen = consumer.next_batch().await;
    let kill = ["close_all_connections", "--vhost", &vhost.name, "test"];
    node().ctl(&kill).unwrap();
    fill(&endpoint, QUEUE, "later", 20).await;
    let expected = [names("m", 0..300), names("later", 0..20)].concat();
    while seen.len() < expected.len() {
        for payload in consumer.next_batch().await {
            if !seen.contains(&payload) {
                seen.push(payload);
            }
        }
    }
    assert_eq!(seen, expected);
    assert!(consumer.health.facts().generation >= 2);
    consumer.stop().await;
}

#[tokio::test]
async fn a_queue_that_was_deleted_is_consumed_again_once_it_is_back() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("deleted").await;
    let mut consumer = consume(&endpoint, QUEUE, &[]);
    fill(&endpoint, QUEUE, "before", 1).await;
    assert_eq!(consumer.next_batch().await, ["before0"]);
    Api::new().delete(&["queues", &vhost.name, QUEUE]).await;
    let begun = Instant::now();
    let trouble = loop {
        match consumer.health.facts().trouble {
            Some(trouble) => break trouble,
            None => tokio::task::yield_now().await,
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    assert!(trouble.contains("consume ccb.sp.request: "), "{trouble}");
    Topology::built_in().declare(&endpoint, &[Role::Request]).await.unwrap();
    fill(&endpoint, QUEUE, "after", 1).await;
    assert_eq!(consumer.next_batch().await, ["after0"]);
    consumer.stop().await;
}
