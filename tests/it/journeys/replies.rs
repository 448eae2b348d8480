//! The way back to billing: what cannot be delivered comes later.

use crate::support::{Reader, Site, queue, request};

#[test]
fn replies_wait_while_their_queue_is_away_and_come_by_themselves() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "never");
    let bridge = site.start();
    site.client.delete(queue::REPLY);
    for id in ["S1", "S2", "S3"] {
        site.send(&request(id, id));
        site.accept(id);
        site.request_is(id, "applied");
    }
    bridge.logs("paused");
    assert!(site.errors().is_empty());
    // What waits outlives the process.
    assert_eq!(bridge.stop().code, Some(0));
    let site = site.with("queues.declare", "never");
    let refused = site.start_in_vain();
    assert_eq!(refused.code, Some(11), "{refused:?}");
    refused.says(&[queue::REPLY]);
    let site = site.with("queues.declare", "missing");
    let _bridge = site.start();
    for id in ["S1", "S2", "S3"] {
        site.positive_reply_to(id);
    }
    site.nothing_more("M1");
}

#[test]
fn a_reply_that_cannot_be_delivered_is_parked_and_retried_from_here() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "0");
    let _bridge = site.start();
    site.tap_errors();
    site.client.delete(queue::REPLY);
    site.send(&request("S1", "P1"));
    site.accept("S1");
    let error = site.error("TL5001");
    assert_eq!(error["leg"], "reply");
    assert_eq!(error["sync_request"], "S1");
    assert_eq!(site.client.next(queue::TAP).routing_key, "reply.TL5001");
    site.cli(&["queues", "declare", "--yes", "--reason", "mended"]).ended(0);
    let id = error["id"].as_str().unwrap();
    site.retry(id).ended(0);
    site.positive_reply_to("S1");
    site.no_errors();
    site.nothing_more("M1");
}

#[test]
fn a_reply_that_billing_rejects_is_parked_and_sent_again_under_the_same_id() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let good = request("S1", "P1");
    site.send(&good);
    site.accept("S1");
    site.client.reject_next(queue::REPLY);
    let id = site.error_id("TL5005");
    assert_eq!(site.show_error(&id)["sync_request"], "S1");
    site.request_is("S1", "applied");
    site.retry(&id).ended(0);
    let reply = site.positive_reply_to("S1");
    site.no_errors();
    site.send(&good);
    assert_eq!(site.positive_reply_to("S1").message_id(), reply.message_id());
}

#[test]
fn billings_outage_does_not_delay_asset_management() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "never");
    let _bridge = site.start();
    let locations = Reader::of_locations(&site.url);
    site.client.unbind(queue::REPLY, "tieline.out", queue::REPLY);
    let ids: Vec<_> = (0..50).map(|n| format!("S{n}")).collect();
    for id in &ids {
        site.send(&request(id, id));
    }
    locations.until_about(50);
    site.client.bind(queue::REPLY, "tieline.out", queue::REPLY);
    let replies = Reader::of_replies(&site.url);
    assert_eq!(replies.until_about(50).len(), 50);
}
