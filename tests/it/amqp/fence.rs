//! The fence on a broker: read and left there, replaced while it is held.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tieline::amqp::{FenceQueue, Role, Topology};
use tieline::bridge::fence::{FenceError, FenceQueue as _};
use tieline::domain::Fence;
use xtask::broker::Node;

use super::bench::{PATIENCE, endpoint, has_rabbitmq, hold_by_consuming, keep_busy, site};

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

/// Too busy to say how it is, a quorum queue is told as one without messages and consumers.
#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_at_work_is_seen_also_while_its_queue_is_busy() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("fence-busy").await;
    let requests = Topology::built_in().queue(Role::Request).to_owned();
    let bridge = hold_by_consuming(&vhost.url, &requests, 1).await;
    let queue = FenceQueue::new(endpoint, &Topology::built_in());
    let busy = keep_busy(&vhost.name, &requests);
    while !busy.is_finished() {
        assert_eq!(queue.is_attended().await, Ok(true));
    }
    busy.await.unwrap();
    bridge.let_go().await;
    assert_eq!(queue.is_attended().await, Ok(false));
    queue.close().await;
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_refused_and_a_broker_that_is_not_is_away() {
    if !has_rabbitmq() {
        return;
    }
    let vhost = super::bench::node().vhost("fence-none").unwrap();
    let queue = FenceQueue::new(endpoint(&vhost.url), &Topology::built_in());
    assert!(matches!(queue.read(false).await, Err(FenceError::Refused(_))));
    let nowhere = endpoint("amqp://guest:guest@127.0.0.1:1/%2f");
    let queue = FenceQueue::new(nowhere, &Topology::built_in());
    assert!(matches!(queue.read(false).await, Err(FenceError::Away(_))));
}

/// A broker with the whole topology that can be low on memory.
struct Starved(Node);

impl Starved {
    async fn start() -> Self {
        let node = Node::start().unwrap();
        Topology::built_in().declare(&endpoint(&node.amqp_url()), &Role::ALL).await.unwrap();
        Self(node)
    }

    fn turn_alarm(&self, is_on: bool) {
        let share = if is_on { "0.0001" } else { "0.4" };
        self.0.ctl(&["set_vm_memory_high_watermark", share]).unwrap();
    }

    fn queue(&self) -> FenceQueue {
        FenceQueue::new(endpoint(&self.0.amqp_url()), &Topology::built_in())
    }

    /// The fence's connections, by the port that they come from.
    fn connections(&self) -> Vec<String> {
        let asked = ["list_connections", "--quiet", "peer_port", "client_properties"];
        let all = self.0.ctl(&asked).unwrap();
        let of_the_fence = all.lines().filter(|line| line.contains("tieline fence"));
        of_the_fence.map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }
}

/// Waits until a fence can be put in the place of the one that is there.
async fn until_replaced(queue: &FenceQueue, fence: &Fence) {
    let begun = Instant::now();
    while let Err(error) = queue.replace(fence, None).await {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_low_on_memory_says_so_and_the_fence_stays_readable_on_the_same_connection() {
    if !has_rabbitmq() {
        return;
    }
    let broker = Starved::start().await;
    let one = broker.queue();
    assert_eq!(one.replace(&fence("one", 1), None).await, Ok(None));
    let before = broker.connections();
    assert_eq!(before.len(), 1);
    broker.turn_alarm(true);
    for _ in 0..5 {
        let begun = Instant::now();
        let Err(FenceError::Away(why)) = one.replace(&fence("one", 2), None).await else {
            unreachable!("a broker low on memory takes nothing")
        };
        assert!(why.contains("the broker takes no messages now: low on memory"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
        // Nobody holds it: who starts now finds out whose it is, and so does who was frozen.
        assert_eq!(broker.queue().read(true).await, Ok(Some(fence("one", 1))));
        assert_eq!(one.read(true).await, Ok(Some(fence("one", 1))));
        assert!(!one.is_cut().await);
    }
    assert_eq!(one.is_attended().await, Ok(false));
    broker.turn_alarm(false);
    until_replaced(&one, &fence("one", 3)).await;
    assert_eq!(one.read(true).await, Ok(Some(fence("one", 3))));
    assert_eq!(broker.connections(), before);
    one.close().await;
}

/// lapin keeps the heartbeats of a blocked connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_fence_too_keeps_no_connection_for_long_that_the_broker_blocks() {
    if !has_rabbitmq() {
        return;
    }
    let broker = Starved::start().await;
    let queue = broker.queue().with_blocked_max(Duration::ZERO);
    assert_eq!(queue.replace(&fence("one", 1), None).await, Ok(None));
    broker.turn_alarm(true);
    let (mut seen, begun) = (HashSet::new(), Instant::now());
    while seen.len() < 3 {
        assert!(begun.elapsed() < PATIENCE, "always the same connections: {seen:?}");
        let refused = queue.replace(&fence("one", 2), None).await;
        assert!(matches!(refused, Err(FenceError::Away(_))), "{refused:?}");
        assert!(queue.is_cut().await, "as after any other loss, the fence is looked at");
        assert_eq!(queue.read(true).await, Ok(Some(fence("one", 1))));
        seen.extend(broker.connections());
    }
    broker.turn_alarm(false);
    until_replaced(&queue, &fence("one", 3)).await;
    queue.close().await;
}
