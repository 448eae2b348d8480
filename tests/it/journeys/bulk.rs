//! A retry of many: works on the selection as it was, survives a crash, sends nothing twice.

use std::collections::HashSet;

use crate::support::{Message, Reader, Site, properties, queue, request, until};

/// Puts so many good requests on the error queue, as a person would who moves messages there, and
/// waits until all are taken in.
fn park(site: &Site, numbers: std::ops::Range<usize>) {
    let count = numbers.len();
    let body = |n| request(&format!("S{n}"), &format!("P{n}")).bytes();
    let replies = Reader::of_replies(&site.url);
    site.client.publish_all(queue::REQUEST_ERROR, &numbers.map(body).collect::<Vec<_>>());
    until("all to be taken in", || (site.errors().len() >= count).then_some(()));
    assert!(!replies.until_about(count).iter().any(Message::is_positive));
}

fn assert_sent_once(locations: &[Message], count: usize) {
    let ids: HashSet<_> = locations.iter().map(Message::message_id).collect();
    assert_eq!((locations.len(), ids.len()), (count, count));
}

#[test]
fn a_bulk_retry_that_is_killed_can_be_given_again_and_sends_nothing_twice() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let count = 300;
    park(&site, 0..count);
    let locations = Reader::of_locations(&site.url);
    let replies = Reader::of_replies(&site.url);
    let retry = ["errors", "retry", "--all", "--yes", "--reason", "moved back"];
    let paced = [&retry[..], &["--rate", "40"]].concat();
    let mut command = site.spawn(&paced);
    until("some to be sent", || (locations.count() >= 40).then_some(()));
    command.kill().unwrap();
    command.wait().unwrap();
    bridge.kill();
    assert!(replies.count() < count, "it was killed in the middle");
    let _bridge = site.start();
    site.cli(&retry).ended(0);
    let told = replies.until_about(count);
    super::crash::assert_each_settled_once(&told, count);
    super::crash::assert_resends_are_equal(&locations.taken(), count);
    site.no_errors();
}

#[test]
fn a_bulk_retry_leaves_alone_what_was_parked_after_it_began() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let count = 40;
    park(&site, 0..count);
    let locations = Reader::of_locations(&site.url);
    let retry =
        ["errors", "retry", "--code", "TL6002", "--yes", "--reason", "x", "--rate", "20", "--json"];
    let command = site.spawn(&retry);
    until("some to be sent", || (locations.count() > 0).then_some(()));
    let late = request("LATE", "PLATE").bytes();
    site.client.publish(queue::REQUEST_ERROR, &late, properties());
    until("the late one to be taken in", || {
        site.errors().into_iter().find(|error| error["sync_request"] == "LATE")
    });
    let output = command.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["done"], &told["total"]), (&count.into(), &count.into()));
    let sent = locations.until_about(count);
    assert_sent_once(&sent, count);
    let left = site.errors();
    assert_eq!((left.len(), &left[0]["sync_request"]), (1, &"LATE".into()), "{left:?}");
}

#[test]
fn a_retry_of_many_of_one_service_point_sends_the_newest_last() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "0");
    let _bridge = site.start();
    site.client.delete(queue::LOCATION);
    for version in 1..=5 {
        let id = format!("S{version}");
        site.send(&request(&id, "P1").version(version));
        until("it to be told", || (!site.client.next(queue::REPLY).is_positive()).then_some(()));
    }
    site.cli(&["queues", "declare", "--yes", "--reason", "mended"]).ended(0);
    let locations = Reader::of_locations(&site.url);
    site.cli(&["errors", "retry", "--all", "--yes", "--reason", "mended"]);
    site.request_is("S5", "applied");
    let sent: Vec<_> = locations.taken().iter().map(Message::sync_request).collect();
    assert!(sent.is_sorted(), "{sent:?}");
    assert_eq!(sent.last().map(String::as_str), Some("S5"));
    site.no_errors();
    drop(locations);
    // An older one cannot follow.
    for version in 1..5 {
        let state = site.cli(&["requests", "show", &format!("S{version}"), "--json"]).json();
        let state = state["state"].as_str().unwrap().to_owned();
        assert!(["superseded", "applied"].contains(&state.as_str()), "S{version} is {state}");
    }
}
