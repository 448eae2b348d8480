//! Messages wait and none comes: whose fault that is, over HTTP.

use super::fence::{back_up, fence_has_caught_up};
use super::http::{free_address, ready};
use crate::support::{Gate, Shared, Site, Weather, has_rabbitmq, queue, request, until};

const WAITING: [&str; 5] = ["S2", "S3", "S4", "S5", "S6"];

/// What `/health/ready` says of the consumer of requests, and its status.
fn requests(address: &str) -> (u16, String) {
    let (status, report) = ready(address);
    let name = format!("consumer {}", queue::REQUEST);
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name.as_str()).unwrap();
    (status, check["detail"].as_str().unwrap().to_owned())
}

/// The fence has decided by then which of two is to go on; the broker finds out by its heartbeat.
#[test]
fn a_bridge_that_has_taken_over_waits_its_turn_behind_the_frozen_one_and_is_healthy() {
    let Some(site) = Site::open() else { return };
    let address = free_address();
    let site = site
        .with("amqp.prefetch", "2")
        .with("amqp.look_every", "200ms")
        // It is not to give the frozen one up before that one is killed.
        .with("amqp.heartbeat", "30s");
    let old = site.start();
    site.synchronise(&request("S1", "P1"));
    site.is_told("S1");
    fence_has_caught_up(&site);
    let copy = back_up(&site, "copy.db");
    old.freeze();
    let standby = site.beside().on_store(&copy).with("http.listen", &address);
    let new = standby.start();
    for id in WAITING {
        site.send(&request(id, id));
    }
    let told = "standby: another consumer is active; 3 messages wait";
    until("the standby to say so", || (requests(&address).1 == told).then_some(()));
    // Whenever it looks whose turn it is, too.
    for _ in 0..100 {
        assert_eq!(requests(&address), (200, told.to_owned()));
        crate::support::pause();
    }
    standby.cli(&["doctor"]).ended(0).says(&["bridge: consumer ccb.sp.request", told]);
    new.logs("standby on ccb.sp.request: another consumer is active");

    old.kill();
    for id in WAITING {
        site.accept(id);
        site.positive_reply_to(id);
    }
    until("the bridge to be active", || {
        (requests(&address) == (200, "connected, generation 1".to_owned())).then_some(())
    });
    assert_eq!(new.stop().code, Some(0));
}

#[test]
fn a_bridge_that_is_alone_and_gets_nothing_of_what_waits_is_not_ready() {
    if !has_rabbitmq() {
        return;
    }
    let vhost = Shared::broker().vhost();
    let (gate, url) = Gate::before(&vhost);
    let address = free_address();
    let site = Site::at(&vhost)
        .with("amqp.url", &url)
        .with("amqp.prefetch", "2")
        .with("amqp.look_every", "200ms")
        .with("http.listen", &address);
    gate.open();
    let bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    gate.turn(Weather::Undelivered);
    for id in WAITING {
        site.send(&request(id, id));
    }
    // Two are on their way for ever.
    let told = "3 messages wait, and the broker delivers none here";
    until("health to tell", || (requests(&address) == (503, told.to_owned())).then_some(()));
    site.cli(&["doctor"]).ended(1).says(&["FAIL", "bridge: consumer ccb.sp.request", told]);
    assert!(!bridge.has_logged(0, &["standby"]));

    gate.open();
    for id in WAITING {
        site.accept(id);
        site.positive_reply_to(id);
    }
    until("the bridge to be ready", || (ready(&address).0 == 200).then_some(()));
    assert_eq!(bridge.stop().code, Some(0));
}
