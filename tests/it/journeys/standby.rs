//! Messages wait and none comes: whose fault that is, over HTTP.

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
