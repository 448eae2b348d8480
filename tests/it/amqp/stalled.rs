//! A queue from which nothing comes although messages wait on it.

use std::pin::pin;
use std::time::Duration;

use tieline::amqp::consumer::Settings;
use tieline::amqp::{Endpoint, Role, Topology};
use tokio::time::timeout;
use xtask::broker::{Node, Options};

use super::bench::{
    PATIENCE, Running, consume_with, endpoint, fill, has_rabbitmq, hold_by_consuming, keep_busy,
    names, node, site,
};
use crate::support::{Raw, long};

const QUEUE: &str = "ccb.sp.request";
/// Several may consume it at once.
const ERRORS: &str = "ccb.sp.request.error";

/// Long enough for two looks, and for what they would lead to.
const A_WHILE: Duration = Duration::from_secs(2);

fn watched(endpoint: &Endpoint) -> Running {
    let settings = Settings { prefetch: 50, batch_max: 20, look_every: Duration::from_millis(200) };
    consume_with(endpoint, QUEUE, settings, &[])
}

/// Waits for what is known of the consumer.
async fn until(consumer: &Running, is_so: impl Fn(&tieline::amqp::consumer::Facts) -> bool) {
    let waiting = async {
        while !is_so(&consumer.health.facts()) {
            tokio::task::yield_now().await;
        }
    };
    let found = timeout(PATIENCE, waiting).await;
    assert!(found.is_ok(), "{:?}", consumer.health.facts());
}

const FORGOTTEN: &str = "rabbit_fifo:make_checkout({Tag, Pid}, cancel, #{})";
const STARVED: &str = "rabbit_fifo:make_credit(Key, 0, 0, false)";

/// Has the queue forget its consumers, or never send them anything more; nobody tells them. RabbitMQ
/// 4 keeps them by a number (`Key`), RabbitMQ 3 by their tag and channel.
fn lose_consumers(vhost: &str, queue: &str, how: &str) {
    let lose = format!(
        "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, <<\"{queue}\">>)), \
         Leader = amqqueue:get_pid(Queue), \
         {{ok, {{_, Consumers}}, _}} = \
             ra:leader_query(Leader, fun(State) -> rabbit_fifo:query_consumers(State) end), \
         [ra:process_command(Leader, {how}) \
          || {{Key, {{Pid, Tag, _, _, _, _, _, _}}}} <- maps:to_list(Consumers)]."
    );
    node().ctl(&["eval", &lose]).unwrap();
}

/// Brokers have done that, for example <https://github.com/rabbitmq/rabbitmq-server/issues/1825>.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_the_broker_has_lost_sight_of_begins_anew() {
    if !has_rabbitmq() {
        return;
    }
    for (n, how) in [FORGOTTEN, STARVED].into_iter().enumerate() {
        let (vhost, endpoint) = site(&format!("lost-{n}")).await;
        let mut consumer = watched(&endpoint);
        fill(&endpoint, QUEUE, "before", 1).await;
        assert_eq!(consumer.next(1).await, ["before0"]);
        until(&consumer, |facts| facts.settled == 1).await;
        lose_consumers(&vhost.name, QUEUE, how);
        fill(&endpoint, QUEUE, "m", 3).await;
        assert_eq!(consumer.next(3).await, names("m", 0..3), "{how}");
        assert_eq!(consumer.health.facts().generation, 2, "{how}");
        consumer.stop().await;
    }
}

/// A broker may allow larger frames than this side wants, and does not cut headers into pieces.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_no_buffer_of_lapin_holds_do_not_stop_the_queue() {
    if !has_rabbitmq() {
        return;
    }
    let node = Node::start_with(Options::new().config_line("frame_max = 16777216")).unwrap();
    // It is the silence of the connection that tells.
    let endpoint = endpoint(&node.amqp_url()).with_heartbeat(Duration::from_secs(1));
    Topology::built_in().declare(&endpoint, &Role::ALL).await.unwrap();
    let filling = [b"\x01hS", &long(&vec![b'x'; 5 << 20])[..]].concat();
    let properties = [&[0x20, 0][..], &long(&filling)].concat();
    Raw::connect(&node.amqp_url()).publish(QUEUE, &properties, b"large");
    fill(&endpoint, QUEUE, "behind", 1).await;
    let mut consumer = watched(&endpoint);
    assert_eq!(consumer.next(2).await, ["large", "behind0"]);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_queue_is_left_in_peace_also_by_a_broker_low_on_memory() {
    if !has_rabbitmq() {
        return;
    }
    let node = Node::start().unwrap();
    let endpoint = endpoint(&node.amqp_url());
    Topology::built_in().declare(&endpoint, &Role::ALL).await.unwrap();
    let mut consumer = watched(&endpoint);
    fill(&endpoint, QUEUE, "m", 1).await;
    assert_eq!(consumer.next(1).await, ["m0"]);
    node.ctl(&["set_vm_memory_high_watermark", "0.0001"]).unwrap();
    consumer.nothing_for(A_WHILE).await;
    assert_eq!(consumer.health.facts().generation, 1);
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
    consumer.stop().await;
}

/// With as much in hand as it may have, nothing comes, and that is nobody's fault.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_up_by_the_store_is_no_stall() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("held").await;
    let settings = Settings { prefetch: 2, batch_max: 1, look_every: Duration::from_millis(200) };
    let mut consumer = consume_with(&endpoint, QUEUE, settings, &[false; 8]);
    fill(&endpoint, QUEUE, "m", 10).await;
    // The first failure gives it back; then it is offered again and again, for more than a second.
    for _ in 0..8 {
        assert_eq!(consumer.next_batch().await, ["m0"]);
    }
    assert_eq!(consumer.next(10).await, names("m", 0..10));
    assert_eq!(consumer.health.facts().generation, 2);
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_behind_another_consumer_says_so_disturbs_nobody_and_follows_it() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("behind").await;
    // Takes two and settles nothing.
    let other = hold_by_consuming(&vhost.url, QUEUE, 2).await;
    fill(&endpoint, QUEUE, "m", 10).await;
    let mut consumer = watched(&endpoint);
    until(&consumer, |facts| facts.standby == Some(8)).await;
    consumer.nothing_for(A_WHILE).await;
    let facts = consumer.health.facts();
    assert_eq!((facts.generation, facts.standby, facts.undelivered), (1, Some(8), None));
    assert!(facts.connected_since.is_some());
    other.let_go().await;
    assert_eq!(consumer.next(10).await, names("m", 0..10));
    let facts = consumer.health.facts();
    assert_eq!((facts.generation, facts.standby, facts.trouble), (1, None, None));
    consumer.stop().await;
}

/// Too busy to say how it is, a quorum queue is told as one without messages and consumers.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_does_not_take_a_busy_queue_for_an_empty_one() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("busy").await;
    let other = hold_by_consuming(&vhost.url, QUEUE, 2).await;
    fill(&endpoint, QUEUE, "m", 10).await;
    let mut consumer = watched(&endpoint);
    until(&consumer, |facts| facts.standby == Some(8)).await;
    let mut busy = pin!(keep_busy(&vhost.name, QUEUE));
    while !busy.is_finished() {
        let facts = consumer.health.facts();
        assert_eq!((facts.generation, facts.standby, facts.undelivered), (1, Some(8), None));
        timeout(Duration::from_millis(1), &mut busy).await.ok();
    }
    other.let_go().await;
    assert_eq!(consumer.next(10).await, names("m", 0..10));
    consumer.stop().await;
}

/// Its turn is always: that somebody else is served too is no reason to get nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_turn_on_a_queue_that_serves_everybody() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("beside").await;
    let _other = hold_by_consuming(&vhost.url, ERRORS, 2).await;
    let settings = Settings { prefetch: 50, batch_max: 20, look_every: Duration::from_millis(200) };
    let consumer = consume_with(&endpoint, ERRORS, settings, &[]);
    until(&consumer, |facts| facts.connected_since.is_some()).await;
    lose_consumers(&vhost.name, ERRORS, STARVED);
    fill(&endpoint, ERRORS, "m", 10).await;
    until(&consumer, |facts| facts.generation > 1).await;
    assert_eq!(consumer.health.facts().standby, None);
    consumer.stop().await;
}
