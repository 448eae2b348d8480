//! Brokers that die, starve or refuse. Each test has a broker of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tieline::amqp::publisher::Settings;
use tieline::amqp::{Endpoint, Publisher, Role, Topology};
use tieline::bridge::Lane;
use tieline::bridge::ports::Publisher as _;
use tieline::domain::{Failure, FailureCode};
use xtask::broker::{Node, Options};

use super::bench::{PATIENCE, consume, endpoint, fill, has_rabbitmq, message, names, publisher};

const QUEUE: &str = "ccb.sp.request";

/// A broker with the whole topology.
async fn broker(options: Options) -> (Node, Endpoint) {
    let node = Node::start_with(options).unwrap();
    let endpoint = endpoint(&node.amqp_url());
    Topology::built_in().declare(&endpoint, &Role::ALL).await.unwrap();
    (node, endpoint)
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test starts its own tasks")]
async fn what_was_confirmed_survives_the_brokers_sudden_death() {
    if !has_rabbitmq() {
        return;
    }
    let (mut node, endpoint) = broker(Options::new()).await;
    // A quorum queue is safe against sudden death only after the broker has settled down.
    node.restart().unwrap();
    let settings = Settings { confirm_timeout: Duration::from_secs(20), ..Settings::default() };
    let publisher =
        Arc::new(Publisher::new(endpoint.clone(), Topology::built_in(), Lane::Location, settings));
    publisher.open().await.unwrap();
    let (first_confirm, has_confirmed) = tokio::sync::oneshot::channel();
    let publishing = {
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move {
            let mut first_confirm = Some(first_confirm);
            let mut confirmed = Vec::new();
            for window in 0.. {
                let messages: Vec<_> =
                    (0..100).map(|n| message(QUEUE, &format!("{window}-{n}"))).collect();
                let mut failures = Vec::new();
                for (message, result) in messages.iter().zip(publisher.publish_raw(&messages).await)
                {
                    let id = message.properties.message_id.clone().unwrap();
                    match result {
                        Ok(()) => confirmed.push(id),
                        Err(failure) => failures.push(failure),
                    }
                }
                if let Some(tell) = first_confirm.take() {
                    tell.send(()).unwrap();
                }
                if !failures.is_empty() {
                    return (confirmed, failures);
                }
            }
            unreachable!("there is always another window");
        })
    };
    has_confirmed.await.unwrap();
    node.kill().unwrap();
    let (confirmed, failures) = publishing.await.unwrap();
    let unknown = [FailureCode::LocationUnconfirmed, FailureCode::AssetsUnreachable];
    assert!(failures.iter().all(|failure| unknown.contains(&failure.code)), "{failures:?}");
    assert_eq!(publisher.open().await.unwrap_err().code, FailureCode::AssetsUnreachable);

    node.restart().unwrap();
    let mut consumer = consume(&endpoint, QUEUE, &[]);
    let mut missing: std::collections::HashSet<_> = confirmed.into_iter().collect();
    while !missing.is_empty() {
        for payload in consumer.next_batch().await {
            missing.remove(&payload);
        }
    }
    consumer.stop().await;
    until_open(&publisher).await;
}

/// lapin keeps the heartbeats of a blocked connection: an alarm of days would cost hundreds of
/// megabytes.
#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_kept_for_long_that_the_broker_blocks() {
    if !has_rabbitmq() {
        return;
    }
    let (node, endpoint) = broker(Options::new()).await;
    let settings = Settings { blocked_max: Duration::ZERO, ..Settings::default() };
    let publisher = Publisher::new(endpoint, Topology::built_in(), Lane::Location, settings);
    let connections =
        || node.ctl(&["list_connections", "--quiet", "--no-table-headers", "peer_port"]).unwrap();
    node.ctl(&["set_vm_memory_high_watermark", "0.0001"]).unwrap();
    let (mut seen, begun) = (std::collections::HashSet::new(), Instant::now());
    while seen.len() < 3 {
        assert!(begun.elapsed() < PATIENCE, "always the same connections: {seen:?}");
        let refusal = publisher.open().await.unwrap_err();
        assert!(refusal.detail.contains("low on memory"), "{}", refusal.detail);
        seen.insert(connections());
    }
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
    until_open(&publisher).await;
    let results = publisher.publish_raw(&[message(QUEUE, "m0")]).await;
    assert_eq!(results, [Ok(())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_low_on_memory_holds_up_publishers_and_nobody_else() {
    if !has_rabbitmq() {
        return;
    }
    let (node, endpoint) = broker(Options::new()).await;
    fill(&endpoint, QUEUE, "m", 40).await;
    let long_lived = publisher(&endpoint, Lane::Location);
    long_lived.open().await.unwrap();

    node.ctl(&["set_vm_memory_high_watermark", "0.0001"]).unwrap();
    let fresh = publisher(&endpoint, Lane::Reply);
    let refusal = fresh.open().await.unwrap_err();
    assert_eq!(refusal.code, FailureCode::BillingUnreachable);
    assert!(refusal.detail.contains("takes no messages now: low on memory"), "{}", refusal.detail);
    // It is asked again and again; that costs nothing and publishes nothing.
    assert_eq!(fresh.open().await.unwrap_err(), refusal);

    // What was published before the broker said so waits, and is not given up early.
    let window = [message(QUEUE, "late0")];
    let publishing = long_lived.publish_raw(&window);
    let relief = async {
        // Consuming and settling go on meanwhile.
        let mut consumer = consume(&endpoint, QUEUE, &[]);
        assert_eq!(consumer.next(40).await, names("m", 0..40));
        consumer.stop().await;
        node.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
    };
    let (results, ()) = tokio::join!(publishing, relief);
    assert_eq!(results, [Ok(())]);
    until_open(&fresh).await;
    let mut consumer = consume(&endpoint, QUEUE, &[]);
    assert_eq!(consumer.next_batch().await, ["late0"]);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_a_blocked_broker_does_not_confirm_is_in_doubt_and_cut_off() {
    if !has_rabbitmq() {
        return;
    }
    let (node, endpoint) = broker(Options::new()).await;
    let settings = Settings { confirm_timeout: Duration::from_millis(500), ..Settings::default() };
    let publisher =
        Publisher::new(endpoint.clone(), Topology::built_in(), Lane::Location, settings);
    publisher.open().await.unwrap();
    node.ctl(&["set_vm_memory_high_watermark", "0.0001"]).unwrap();
    let messages: Vec<_> = (0..50).map(|n| message(QUEUE, &format!("m{n}"))).collect();
    let codes = |results: Vec<Result<(), Failure>>| -> Vec<_> {
        results.into_iter().map(|result| result.map_err(|failure| failure.code)).collect()
    };
    let unconfirmed = vec![Err(FailureCode::LocationUnconfirmed); 50];
    assert_eq!(codes(publisher.publish_raw(&messages).await), unconfirmed);
    // The next is not even tried while the broker is blocked.
    let away = vec![Err(FailureCode::AssetsUnreachable); 50];
    assert_eq!(codes(publisher.publish_raw(&messages).await), away);
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
    until_open(&publisher).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_broker_takes_does_not_hold_up_its_window() {
    if !has_rabbitmq() {
        return;
    }
    let (_node, endpoint) = broker(Options::new().config_line("max_message_size = 65536")).await;
    let publisher = publisher(&endpoint, Lane::Location);
    let mut messages: Vec<_> = (0..5).map(|n| message(QUEUE, &format!("m{n}"))).collect();
    messages[2].payload = vec![b'x'; 70_000];
    let results = publisher.publish_raw(&messages).await;
    for (n, result) in results.iter().enumerate() {
        match (n, result) {
            (2, Err(failure)) => {
                assert_eq!(failure.code, FailureCode::LocationRefused);
                assert!(failure.detail.contains("larger than"), "{}", failure.detail);
            }
            (_, result) => assert_eq!((n, result), (n, &Ok(()))),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_full_is_published_to_again_when_its_limit_is_gone() {
    if !has_rabbitmq() {
        return;
    }
    let (node, endpoint) = broker(Options::new()).await;
    let limit = r#"{"max-length":2,"overflow":"reject-publish"}"#;
    node.ctl(&["set_policy", "small", "request$", limit, "--apply-to", "queues"]).unwrap();
    let publisher = publisher(&endpoint, Lane::Location);
    let begun = Instant::now();
    for n in 0.. {
        let result = publisher.publish_raw(&[message(QUEUE, &format!("m{n}"))]).await.remove(0);
        if let Err(failure) = result {
            assert_eq!(failure.code, FailureCode::LocationRefused);
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it takes {n} and more");
    }
    node.ctl(&["clear_policy", "small"]).unwrap();
    assert_eq!(publisher.publish_raw(&[message(QUEUE, "late")]).await, [Ok(())]);
}

/// Waits until the publisher can publish again.
async fn until_open(publisher: &Publisher) {
    let begun = Instant::now();
    while let Err(failure) = publisher.open().await {
        assert!(begun.elapsed() < PATIENCE, "{failure:?}");
        tokio::task::yield_now().await;
    }
}
