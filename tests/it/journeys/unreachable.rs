//! Asset management's side is away: a pause first, the error queue only when it lasts.

use std::time::Instant;

use jiff::Timestamp;

use super::two_brokers::two_brokers;
use crate::support::{Reader, Site, Weather, queue, request};

fn declare(site: &Site) {
    site.cli(&["queues", "declare", "--yes", "--reason", "mended"]).ended(0);
}

#[test]
fn a_missing_location_queue_pauses_the_leg_and_it_resumes_by_itself() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "never");
    let bridge = site.start();
    site.tap_errors();
    site.client.delete(queue::LOCATION);
    let ids = ["S1", "S2", "S3"];
    for id in ids {
        site.send(&request(id, id));
    }
    bridge.logs("TL3001");
    for id in ids {
        site.request_is(id, "pending");
    }
    declare(&site);
    for id in ids {
        site.accept(id);
    }
    for id in ids {
        site.positive_reply_to(id);
    }
    assert!(site.errors().is_empty());
    assert_eq!(site.client.depth(queue::TAP), Some(0), "nothing was parked");
    site.nothing_more("M1");
}

#[test]
fn a_pause_that_goes_on_for_another_reason_says_so() {
    let Some((site, assets, gate)) = two_brokers() else { return };
    let site = site.with("unreachable.park_after", "never");
    let bridge = site.start();
    gate.turn(Weather::Shut);
    site.send(&request("S1", "P1"));
    assert!(bridge.logs(" paused: ").contains("TL3004"));
    assets.client.delete(queue::LOCATION);
    gate.turn(Weather::Open);
    assert!(bridge.logs("still paused: ").contains("TL3001"));
    declare(&site);
    assets.accept("S1");
    site.positive_reply_to("S1");
}

#[test]
fn an_outage_counts_no_attempt_however_often_it_is_tried() {
    let Some(site) = Site::open() else { return };
    let site = site
        .with("unreachable.park_after", "never")
        .with("unreachable.retry_max", "50ms")
        .with("retry.tries_max", "1");
    let bridge = site.start();
    site.client.unbind(queue::LOCATION, "tieline.out", queue::LOCATION);
    site.send(&request("S1", "P1"));
    bridge.logs("TL3001");
    // Another second of tries: an operator's look at a state that must not change.
    let mut looks = 0;
    crate::support::until("ten looks", || {
        site.request_is("S1", "pending");
        looks += 1;
        (looks == 10).then_some(())
    });
    site.client.bind(queue::LOCATION, "tieline.out", queue::LOCATION);
    site.accept("S1");
    site.positive_reply_to("S1");
}

#[test]
fn an_outage_is_parked_at_once_where_the_site_says_so_and_retried_by_an_operator() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "0");
    let _bridge = site.start();
    site.tap_errors();
    site.client.delete(queue::LOCATION);
    let ids = ["S1", "S2", "S3"];
    for id in ids {
        site.send(&request(id, id));
        let reply = site.negative_reply_to(id);
        assert!(reply.text().contains("TL3001"), "{}", reply.text());
        site.request_is(id, "parked");
    }
    let copies = site.client.take(queue::TAP, ids.len());
    assert!(copies.iter().all(|copy| copy.routing_key == "location.TL3001"), "{copies:?}");
    declare(&site);
    let retried = site.cli(&[
        "errors",
        "retry",
        "--code",
        "TL3001",
        "--yes",
        "--reason",
        "the queue is back",
        "--json",
    ]);
    assert_eq!(retried.ended(0).json()["done"], 3);
    for id in ids {
        site.accept(id);
    }
    for id in ids {
        site.positive_reply_to(id);
    }
    site.no_errors();
    site.nothing_more("M1");
}

#[test]
fn an_outage_that_exceeds_its_limit_parks_what_waits_and_what_arrives() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "2s");
    let bridge = site.start();
    site.client.delete(queue::LOCATION);
    let began = Instant::now();
    site.send(&request("S1", "P1"));
    bridge.logs("TL3001");
    site.negative_reply_to("S1");
    assert!(began.elapsed().as_secs() >= 2, "parked after {:?}", began.elapsed());
    site.send(&request("S2", "P2"));
    site.negative_reply_to("S2");
    assert_eq!(site.errors().len(), 2);
}

#[test]
fn what_an_outage_parked_is_released_by_itself_where_the_site_says_so() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "0").with("unreachable.release", "auto");
    let _bridge = site.start();
    // What is parked for another reason stays where it is.
    site.send(&request("S0", "P0").unmapped());
    site.negative_reply_to("S0");
    site.client.delete(queue::LOCATION);
    for id in ["S1", "S2"] {
        site.send(&request(id, id));
        site.negative_reply_to(id);
    }
    declare(&site);
    for id in ["S1", "S2"] {
        site.accept(id);
    }
    for id in ["S1", "S2"] {
        site.positive_reply_to(id);
    }
    crate::support::until("only the other one on the error queue", || {
        let errors = site.errors();
        (errors.len() == 1 && errors[0]["sync_request"] == "S0").then_some(())
    });
    site.nothing_more("M1");
}

/// When a request was parked, each time.
fn parked_at(site: &Site, id: &str) -> Vec<Timestamp> {
    let traced = site.cli(&["requests", "trace", id, "--json"]).ended(0).json();
    let lines = traced["timeline"].as_array().unwrap().iter();
    let parked = lines.filter(|line| line["kind"] == "parked");
    parked.map(|line| line["at"].as_str().unwrap().parse().unwrap()).collect()
}

/// The queue is there, so that asking the broker tells nothing: all of them would be released, come
/// back and be told to billing again, over and over.
#[test]
fn what_an_outage_parked_is_tried_with_one_while_the_queue_is_there_and_takes_nothing() {
    let Some(site) = Site::open() else { return };
    let site = site
        .with("unreachable.park_after", "0")
        .with("unreachable.release", "auto")
        .with("unreachable.retry_max", "50ms");
    let _bridge = site.start();
    site.client.unbind(queue::LOCATION, "tieline.out", queue::LOCATION);
    let ids = ["S1", "S2", "S3"];
    for id in ids {
        site.send(&request(id, id));
    }
    let mut told = [0; 3];
    while told[0] < 6 || told.contains(&0) {
        let reply = site.client.next(queue::REPLY);
        assert!(!reply.is_positive(), "{}", reply.text());
        told[ids.iter().position(|id| *id == reply.sync_request()).unwrap()] += 1;
    }
    assert_eq!(told[1..], [1, 1], "each is told once, but for one");
    // Eight rounds of 50 ms lie between the fifth time and the sixth; a slow machine adds to them.
    let parked = parked_at(&site, "S1");
    assert!(parked[5].duration_since(parked[4]).as_millis() >= 400, "{parked:?}");
    site.client.bind(queue::LOCATION, "tieline.out", queue::LOCATION);
    for id in ids {
        site.accept(id);
    }
    let mut reply = site.reply_to("S1");
    while !reply.is_positive() {
        reply = site.reply_to("S1");
    }
    for id in ["S2", "S3"] {
        site.positive_reply_to(id);
    }
    site.no_errors();
    site.nothing_more("M1");
}

#[test]
fn asset_management_may_be_away_when_the_bridge_starts() {
    let Some((site, assets, gate)) = two_brokers() else { return };
    gate.shut();
    let site = site.with("unreachable.park_after", "never");
    let _bridge = site.start();
    for id in ["S1", "S2"] {
        site.send(&request(id, id));
        site.request_is(id, "pending");
    }
    assert!(site.errors().is_empty());
    gate.open();
    for id in ["S1", "S2"] {
        assets.accept(id);
    }
    for id in ["S1", "S2"] {
        site.positive_reply_to(id);
    }
}

#[test]
fn connections_may_be_cut_under_load_and_nothing_is_lost_or_doubled() {
    let Some((site, assets, gate)) = two_brokers() else { return };
    let _bridge = site.start();
    let locations = Reader::of_locations(&assets.url);
    let replies = Reader::of_replies(&site.url);
    let count = 600;
    let requests: Vec<_> =
        (0..count).map(|n| request(&format!("S{n}"), &format!("P{n}")).bytes()).collect();
    site.client.publish_all(queue::REQUEST, &requests);
    for cut in 1..4 {
        crate::support::until("some to be through", || {
            (locations.count() >= cut * count / 5).then_some(())
        });
        gate.shut();
        gate.open();
    }
    let told = replies.until_about(count);
    super::crash::assert_each_settled_once(&told, count);
    super::crash::assert_resends_are_equal(&locations.taken(), count);
}
