//! The fence on a broker: read and left there, replaced while it is held.

use tieline::amqp::{FenceQueue, Role, Topology};
use tieline::bridge::fence::{FenceError, FenceQueue as _};
use tieline::domain::Fence;

use super::bench::{has_rabbitmq, node, site};

fn fence(run: &str, line: i64) -> Fence {
    Fence {
        store: "7d3c1e52-4f0b-4c0e-9a55-2f9a3f6f0a11".parse().unwrap(),
        epoch: 1,
        line,
        place: line,
        run: run.to_owned(),
        at: "2026-03-14T04:00:00Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn a_fence_is_left_where_it_is_and_replaced_by_its_own_run_only() {
    if !has_rabbitmq() {
        return;
    }
    let (_vhost, endpoint) = site("fence").await;
    let queue = || FenceQueue::new(endpoint.clone(), &Topology::built_in());
    let (one, other) = (queue(), queue());
    assert_eq!(one.read(false).await, Ok(None));
    assert_eq!(one.replace(&fence("one", 1), None).await, Ok(None));
    for _ in 0..30 {
        assert_eq!(other.read(true).await, Ok(Some(fence("one", 1))));
    }
    assert_eq!(one.replace(&fence("one", 2), None).await, Ok(None));
    assert_eq!(other.replace(&fence("other", 9), None).await, Ok(Some(fence("one", 2))));
    assert_eq!(other.read(true).await, Ok(Some(fence("one", 2))), "and left there");
    assert_eq!(other.replace(&fence("other", 9), Some("one")).await, Ok(None));
    assert_eq!(one.replace(&fence("one", 3), None).await, Ok(Some(fence("other", 9))));
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_fence_that_comes_back_beside_a_newer_one_is_dropped() {
    if !has_rabbitmq() {
        return;
    }
    let (_vhost, endpoint) = site("fence-back").await;
    let queue = || FenceQueue::new(endpoint.clone(), &Topology::built_in());
    let one = queue();
    assert_eq!(one.replace(&fence("one", 1), None).await, Ok(None));
    // Somebody holds the old one, and lets go once the new one is there.
    let held = super::bench::hold(&endpoint, Topology::built_in().queue(Role::Fence)).await;
    assert_eq!(one.replace(&fence("one", 2), None).await, Ok(None));
    held.let_go().await;
    for _ in 0..3 {
        assert_eq!(one.read(true).await, Ok(Some(fence("one", 2))));
    }
    one.close().await;
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_refused_and_a_broker_that_is_not_is_away() {
    if !has_rabbitmq() {
        return;
    }
    let vhost = node().vhost("fence-none").unwrap();
    let endpoint = super::bench::endpoint(&vhost.url);
    let queue = FenceQueue::new(endpoint, &Topology::built_in());
    assert!(matches!(queue.read(false).await, Err(FenceError::Refused(_))));
    let nowhere = super::bench::endpoint("amqp://guest:guest@127.0.0.1:1/%2f");
    let queue = FenceQueue::new(nowhere, &Topology::built_in());
    assert!(matches!(queue.read(false).await, Err(FenceError::Away(_))));
}
