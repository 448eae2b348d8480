//! Billing and asset management on brokers of their own: the same promises.

use crate::support::{
    Gate, Shared, Site, has_rabbitmq, positive, properties, queue, request, until,
};

/// A site whose asset management has a virtual host of its own, the same as a site, and the gate
/// before it.
pub(super) fn two_brokers() -> Option<(Site, Site, Gate)> {
    if !has_rabbitmq() {
        return None;
    }
    let assets = Shared::broker().vhost();
    let (gate, url) = Gate::before(&assets);
    let site = Site::at(&Shared::broker().vhost()).with("amqp.assets_url", &url);
    gate.open();
    site.cli(&["queues", "declare", "--yes", "--reason", "new"]).ended(0);
    Some((site, Site::at(&assets), gate))
}

#[test]
fn each_side_has_its_queues_on_its_own_broker() {
    let Some((site, assets, _gate)) = two_brokers() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    assets.accept("S1");
    site.positive_reply_to("S1");
    for name in [queue::REQUEST, queue::REPLY, queue::REQUEST_ERROR] {
        assert_eq!((site.client.depth(name), assets.client.depth(name)), (Some(0), None), "{name}");
    }
    for name in [queue::LOCATION, queue::ANSWER, queue::ANSWER_ERROR] {
        assert_eq!((site.client.depth(name), assets.client.depth(name)), (None, Some(0)), "{name}");
    }
    site.cli(&["queues", "check"]).ended(0);
}

#[test]
fn each_failure_lies_on_the_error_queue_of_its_side() {
    let Some((site, assets, _gate)) = two_brokers() else { return };
    let site = site.with("errors.desk", "false");
    let _bridge = site.start();
    site.send(&request("S1", "P1").unmapped());
    site.negative_reply_to("S1");
    let copy = site.client.next(queue::REQUEST_ERROR);
    assert_eq!(copy.header("tieline-code").unwrap(), "TL2002");
    assets.answer_with(&positive("NOBODY", "K"), properties());
    let copy = assets.client.next(queue::ANSWER_ERROR);
    assert_eq!(copy.header("tieline-code").unwrap(), "TL4003");
}

#[test]
fn what_either_side_rejects_is_taken_in() {
    let Some((site, assets, _gate)) = two_brokers() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    assets.client.reject_next(queue::LOCATION);
    let location = site.error_id("TL3005");
    site.negative_reply_to("S1");
    site.retry(&location).ended(0);
    assets.accept("S1");
    site.client.reject_next(queue::REPLY);
    let reply = site.error_id("TL5005");
    site.retry(&reply).ended(0);
    site.positive_reply_to("S1");
    site.no_errors();
}

#[test]
fn an_outage_of_one_side_does_not_stop_the_errors_of_the_other() {
    let Some((site, _assets, gate)) = two_brokers() else { return };
    let site = site.with("unreachable.park_after", "never").with("errors.desk", "false");
    let bridge = site.start();
    gate.shut();
    site.send(&request("S1", "P1"));
    bridge.logs("paused");
    for number in 2..5 {
        let id = format!("S{number}");
        site.send(&request(&id, &id).unmapped());
        site.negative_reply_to(&id);
        let copy = site.client.next(queue::REQUEST_ERROR);
        assert_eq!(copy.header("tieline-sync-request").unwrap(), id);
    }
    until("S1 to wait still", || (site.errors().len() == 3).then_some(()));
    site.request_is("S1", "pending");
}
