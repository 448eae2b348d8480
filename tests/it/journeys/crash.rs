//! Whatever ends, in the middle of whatever: every request gets exactly one final reply, and every
//! message id stands for one content.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use xtask::broker::Node;

use crate::support::{
    Client, Gate, Message, Reader, Site, has_rabbitmq, properties, queue, request, until,
};

/// How many requests are under way while things end.
const COUNT: usize = 2000;

fn requests(count: usize) -> Vec<Vec<u8>> {
    requests_from(0, count)
}

fn requests_from(first: usize, count: usize) -> Vec<Vec<u8>> {
    let numbers = first..first + count;
    numbers.map(|n| request(&format!("S{n}"), &format!("P{n}")).bytes()).collect()
}

/// Fails unless each of so many sync requests has one positive reply, sent once or sent again
/// unchanged.
#[track_caller]
pub(super) fn assert_each_settled_once(replies: &[Message], count: usize) {
    let mut told = HashMap::new();
    for reply in replies {
        let id = reply.sync_request();
        assert!(reply.is_positive(), "{}", reply.text());
        let first = told.entry(id).or_insert(reply);
        assert_eq!(first.message_id(), reply.message_id(), "a second reply: {}", reply.text());
        assert_eq!(first.body, reply.body, "one body for each message id");
    }
    assert_eq!(told.len(), count);
}

/// Fails unless each of so many sync requests has one asset location, sent once or sent again
/// unchanged.
#[track_caller]
pub(super) fn assert_resends_are_equal(locations: &[Message], count: usize) {
    let mut sent = HashMap::new();
    for location in locations {
        let first = sent.entry(location.sync_request()).or_insert(location);
        assert_eq!(first.message_id(), location.message_id(), "{}", location.text());
        assert_eq!(first.body, location.body, "one body for each message id");
    }
    assert_eq!(sent.len(), count);
}

#[test]
fn a_bridge_that_is_killed_five_times_loses_nothing_and_doubles_nothing() {
    let Some(site) = Site::open() else { return };
    let mut bridge = site.start();
    let locations = Reader::of_locations(&site.url);
    let replies = Reader::of_replies(&site.url);
    site.client.publish_all(queue::REQUEST, &requests(COUNT));
    for kill in 1..=5 {
        until("some replies before the next kill", || {
            (replies.count() >= kill * COUNT / 8).then_some(())
        });
        bridge.kill();
        bridge = site.start();
    }
    // One more, behind all that may still be on its way.
    site.send(&request("LAST", "PLAST"));
    assert_each_settled_once(&replies.until_about(COUNT + 1), COUNT + 1);
    assert_resends_are_equal(&locations.taken(), COUNT + 1);
    assert_at_rest(&site);
}

/// Fails unless every queue is empty and every request settled, once it is so.
fn assert_at_rest(site: &Site) {
    for name in [queue::REQUEST, queue::LOCATION, queue::ANSWER, queue::REQUEST_ERROR] {
        until(&format!("{name} to be empty"), || {
            (site.client.depth(name) == Some(0)).then_some(())
        });
    }
    assert!(site.errors().is_empty());
    let states = "waiting,pending,published,overdue,rejected,parked,superseded,discarded";
    let listed = site.cli(&["requests", "list", "--state", states, "--json"]).ended(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 0, "all are applied: {listed}");
}

#[test]
fn a_broker_that_blocks_publishers_and_is_killed_under_load_loses_nothing() {
    if !has_rabbitmq() {
        return;
    }
    let mut node = Node::start().unwrap();
    let url = node.amqp_url();
    let site = Site::at(&url).with("amqp.confirm_timeout", "2s");
    let bridge = site.start();
    let locations = Reader::of_locations(&url);
    let replies = Reader::of_replies(&url);
    let paused = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        // Billing goes on for as long as the bridge does. While the broker takes nothing it is
        // stuck, and goes on afterwards.
        let (client, paused) = (Client::connect(&url), &paused);
        let billing = scope.spawn(move || {
            let mut sent = 0;
            while !paused.load(Ordering::Relaxed) {
                client.publish_all(queue::REQUEST, &requests_from(sent, 100));
                sent += 100;
            }
            sent
        });
        until("some replies", || (replies.count() > 0).then_some(()));
        // Out of memory: the broker takes no more from anybody who publishes.
        node.ctl(&["set_vm_memory_high_watermark", "0.00001"]).unwrap();
        bridge.logs("paused");
        paused.store(true, Ordering::Relaxed);
        node.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
        billing.join().unwrap()
    });
    until("all replies", || (replies.count() >= sent).then_some(()));
    site.client.publish_all(queue::REQUEST, &requests_from(sent, COUNT));
    until("some more replies", || (replies.count() >= sent + COUNT / 8).then_some(()));
    node.kill().unwrap();
    node.restart().unwrap();
    let count = sent + COUNT;
    assert_each_settled_once(&replies.until_about(count), count);
    assert_resends_are_equal(&locations.taken(), count);
    assert!(site.errors().is_empty(), "an outage is nobody's failure");
    assert_eq!(bridge.stop().code, Some(0));
}

#[test]
fn a_stop_in_the_middle_is_prompt_and_loses_nothing() {
    let Some(site) = Site::open() else { return };
    let count = 800;
    let bridge = site.start();
    let locations = Reader::of_locations(&site.url);
    let replies = Reader::of_replies(&site.url);
    site.client.publish_all(queue::REQUEST, &requests(count));
    until("some replies", || (replies.count() >= count / 8).then_some(()));
    let asked = std::time::Instant::now();
    let ended = bridge.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(asked.elapsed().as_secs() < 10, "it took {:?}", asked.elapsed());
    let before = replies.count();
    assert!(before < count, "it was stopped in the middle");
    let _bridge = site.start();
    let told = replies.until_about(count);
    assert_each_settled_once(&told, count);
    assert_eq!(told.len(), count, "after a clean stop nothing is sent twice");
    let sent = locations.taken();
    assert_resends_are_equal(&sent, count);
    assert_eq!(sent.len(), count, "after a clean stop nothing is sent twice");
}

#[test]
fn a_stop_is_prompt_while_the_other_side_is_away() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "never");
    let bridge = site.start();
    site.client.delete(queue::LOCATION);
    site.client.delete(queue::REPLY);
    site.send(&request("S1", "P1"));
    site.send(&request("S2", "P2").unmapped());
    bridge.logs("TL3001");
    bridge.logs("TL5001");
    let asked = std::time::Instant::now();
    assert_eq!(bridge.stop().code, Some(0));
    assert!(asked.elapsed().as_secs() < 10, "it took {:?}", asked.elapsed());
    let _bridge = site.start();
    site.accept("S1");
    site.negative_reply_to("S2");
    site.positive_reply_to("S1");
}

#[test]
fn a_stop_is_prompt_while_the_broker_is_away() {
    let Some(site) = Site::open() else { return };
    let (gate, url) = Gate::before(&site.url);
    gate.open();
    let site = site.with("amqp.url", &url);
    let bridge = site.start();
    let (locations, replies) = (Reader::of_locations(&site.url), Reader::of_replies(&site.url));
    site.client.publish_all(queue::REQUEST, &requests(300));
    until("some replies", || (replies.count() > 30).then_some(()));
    gate.shut();
    bridge.logs("paused");
    let asked = std::time::Instant::now();
    assert_eq!(bridge.stop().code, Some(0));
    assert!(asked.elapsed().as_secs() < 10, "it took {:?}", asked.elapsed());
    gate.open();
    let _bridge = site.start();
    assert_each_settled_once(&replies.until_about(300), 300);
    assert_resends_are_equal(&locations.taken(), 300);
}

#[test]
fn a_redelivered_request_is_known_again() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let request = request("S1", "P1");
    site.synchronise(&request);
    site.is_told("S1");
    bridge.kill();
    // As if the settlement of the first delivery had been lost with the process.
    site.client.publish(queue::REQUEST, &request.bytes(), properties());
    let _bridge = site.start();
    site.positive_reply_to("S1");
    site.nothing_more("M1");
}
