//! Per service point one request is under way, and what asset management receives last is the
//! newest.

use crate::support::{Message, Site, positive, request};

fn assert_superseded(reply: &Message) {
    let text = reply.text().to_lowercase();
    assert!(reply.is_positive() && text.contains("supersede"), "{}", reply.text());
    assert!(reply.xml().find("externalIds").is_empty(), "{}", reply.text());
}

#[test]
fn a_newer_request_takes_the_place_of_one_that_waits_and_comes_last() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").version(1));
    let first = site.location_of("S1");
    site.send(&request("S2", "P1").version(2));
    site.request_is("S2", "waiting");
    // Another service point does not wait for this one.
    site.nothing_more("M1");
    site.send(&request("S3", "P1").version(3));
    assert_superseded(&site.reply_to("S2"));
    site.answer(&first, &positive("S1", "K1"));
    site.positive_reply_to("S1");
    site.accept("S3");
    site.positive_reply_to("S3");
    site.nothing_more("M2");
    assert_eq!(site.request_is("S2", "superseded")["sync_request"], "S2");
}

#[test]
fn an_older_request_that_arrives_late_is_not_sent() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.synchronise(&request("S2", "P1").version(7));
    site.send(&request("S1", "P1").version(6));
    assert_superseded(&site.reply_to("S1"));
    site.nothing_more("M1");
    // The same while the newer one is under way.
    site.send(&request("S4", "P2").version(7));
    let location = site.location_of("S4");
    site.send(&request("S3", "P2").version(6));
    assert_superseded(&site.reply_to("S3"));
    site.answer(&location, &positive("S4", "K4"));
    site.positive_reply_to("S4");
    site.nothing_more("M2");
}

#[test]
fn without_a_version_the_creation_time_decides_and_then_arrival() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let at = |id, point, time| request(id, point).no_version().created(time);
    // The second was made later, though its clock reads earlier: it stands further west.
    site.synchronise(&at("S1", "P1", "2025-03-14T05:00:00+01:00"));
    site.synchronise(&at("S2", "P1", "2025-03-13T23:30:00-06:00"));
    site.send(&at("S3", "P1", "2025-03-14T05:20:00Z"));
    assert_superseded(&site.reply_to("S3"));
    site.synchronise(&at("S4", "P2", "2025-03-14T05:00:00Z"));
    site.synchronise(&at("S5", "P2", "2025-03-14T05:00:00Z"));
    site.nothing_more("M1");
}

#[test]
fn an_older_parked_request_is_superseded_by_a_newer_one_and_its_retry_is_refused() {
    let Some(site) = Site::open() else { return };
    let site = site.with_own_mappings();
    let _bridge = site.start();
    site.send(&request("S1", "P1").version(1).sp_type("E-NEW"));
    site.negative_reply_to("S1");
    let id = site.error_id("TL2002");
    site.send(&request("S2", "P1").version(2));
    site.accept("S2");
    // Billing may be told that the older one is superseded, and must be told about the newer one.
    let mut reply = site.client.next(crate::support::queue::REPLY);
    if reply.sync_request() == "S1" {
        assert_superseded(&reply);
        reply = site.client.next(crate::support::queue::REPLY);
    }
    assert_eq!((reply.sync_request().as_str(), reply.is_positive()), ("S2", true));
    site.request_is("S1", "superseded");
    site.no_errors();
    site.add_entry("sp-type", "E-NEW", "NEW-SOCKET");
    let retried = site.retry(&id).ended(1);
    assert_eq!(retried.json()["done"], 0, "{retried:?}");
    site.nothing_more("M1");
}

#[test]
fn one_bad_service_point_does_not_delay_another() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").unmapped());
    site.send(&request("S2", "P2"));
    site.negative_reply_to("S1");
    site.location_of("S2");
    for number in 3..20 {
        site.synchronise(&request(&format!("S{number}"), &format!("P{number}")));
    }
}

#[test]
fn of_a_burst_for_one_service_point_asset_management_gets_the_newest_last() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let locations = crate::support::Reader::of_locations(&site.url);
    let replies = crate::support::Reader::of_replies(&site.url);
    let burst: Vec<_> = (1..=60)
        .map(|version| request(&format!("S{version}"), "P1").version(version).bytes())
        .collect();
    site.client.publish_all(crate::support::queue::REQUEST, &burst);
    let told = replies.until_about(60);
    assert_eq!(told.len(), 60, "one reply each");
    assert!(told.iter().all(Message::is_positive));
    let sent: Vec<u32> = locations
        .taken()
        .iter()
        .map(|location| location.sync_request()[1..].parse().unwrap())
        .collect();
    assert!(sent.is_sorted(), "{sent:?}");
    assert_eq!(sent.last(), Some(&60));
}
