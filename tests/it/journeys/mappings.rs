//! A mapping is mended while the bridge runs, and what it had parked goes through.

use std::collections::HashSet;
use std::fs;

use crate::support::{Message, Reader, Site, queue, request};

/// How many requests a missing entry parks.
const COUNT: usize = 1000;

const GROUP: &str = "TL2002:location/nodeType";

/// Puts a mistake into the site's own mappings; returns the line on which it stands.
pub(super) fn break_mapping(site: &Site) -> usize {
    let path = site.mappings().join("maps/sp-type.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = format!("{}\n\"E-OLD\" = 7\n", text.trim_end());
    fs::write(&path, &text).unwrap();
    text.lines().count()
}

#[test]
fn a_thousand_parked_by_a_missing_entry_go_through_once_it_is_there() {
    let Some(site) = Site::open() else { return };
    let site = site.with_own_mappings();
    let bridge = site.start();
    let requests: Vec<_> = (0..COUNT)
        .map(|n| request(&format!("S{n}"), &format!("P{n}")).sp_type("E-NEW").bytes())
        .collect();
    let replies = Reader::of_replies(&site.url);
    site.client.publish_all(queue::REQUEST, &requests);
    let refused = replies.until_about(COUNT);
    assert_eq!(refused.len(), COUNT);
    assert!(!refused.iter().any(Message::is_positive));
    drop(replies);

    let groups = site.cli(&["errors", "groups", "--json"]).ended(0).json();
    assert_eq!(groups[0]["group"], GROUP);
    assert_eq!(groups[0]["count"], COUNT);
    assert_eq!(groups.as_array().unwrap().len(), 1, "{groups}");
    let check = ["errors", "check", "--group", GROUP, "--json"];
    assert_eq!(site.cli(&check).json()["done"], 0, "nothing would pass yet");

    site.add_entry("sp-type", "E-NEW", "NEW-SOCKET");
    bridge.hangup();
    bridge.logs("read again");
    let checked = site.cli(&check).ended(0).json();
    assert_eq!((&checked["done"], &checked["total"]), (&COUNT.into(), &COUNT.into()));

    let locations = Reader::of_locations(&site.url);
    let replies = Reader::of_replies(&site.url);
    let retry = ["errors", "retry", "--group", GROUP, "--yes", "--reason", "entry added", "--json"];
    assert_eq!(site.cli(&retry).ended(0).json()["done"], COUNT);
    let applied = replies.until_about(COUNT);
    assert!(applied.iter().all(Message::is_positive));
    assert_eq!(applied.len(), COUNT, "none is told twice");
    let sent = locations.taken();
    let ids: HashSet<_> = sent.iter().map(Message::message_id).collect();
    assert_eq!((sent.len(), ids.len()), (COUNT, COUNT), "none is sent twice");
    assert!(sent.iter().all(|location| location.at("location/nodeType") == "NEW-SOCKET"));
    site.no_errors();
    // What arrives from now on needs nobody.
    drop((locations, replies));
    site.synchronise(&request("N1", "N1").sp_type("E-NEW"));
}

#[test]
fn a_mapping_with_a_mistake_is_refused_and_the_one_before_stays() {
    let Some(site) = Site::open() else { return };
    let site = site.with_own_mappings();
    let bridge = site.start();
    let line = break_mapping(&site);
    bridge.hangup();
    bridge.logs(&format!("maps/sp-type.toml:{line}:"));
    site.nothing_more("M1");
    // Once it is mended a reload takes it.
    let path = site.mappings().join("maps/sp-type.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("= 7", "= \"OLD-SOCKET\"")).unwrap();
    bridge.hangup();
    bridge.logs("read again");
    site.send(&request("S1", "P1").sp_type("E-OLD"));
    assert_eq!(site.accept("S1").at("location/nodeType"), "OLD-SOCKET");
    site.positive_reply_to("S1");
}

#[test]
fn a_resend_after_the_mapping_is_mended_is_as_good_as_a_retry() {
    let Some(site) = Site::open() else { return };
    let site = site.with_own_mappings();
    let bridge = site.start();
    let request = request("S1", "P1").sp_type("E-NEW");
    site.send(&request);
    site.negative_reply_to("S1");
    site.add_entry("sp-type", "E-NEW", "NEW-SOCKET");
    bridge.hangup();
    bridge.logs("read again");
    site.synchronise(&request);
    site.no_errors();
    site.nothing_more("M1");
}

#[test]
fn a_canary_that_fails_stops_a_bulk_retry() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "0");
    let _bridge = site.start();
    site.client.delete(queue::LOCATION);
    for id in ["S1", "S2", "S3"] {
        site.send(&request(id, id));
        site.negative_reply_to(id);
    }
    // The queue is still away: the first one fails again, the others are not touched.
    let retry = ["errors", "retry", "--all", "--yes", "--reason", "too early", "--canary", "1"];
    let retried = site.cli(&retry).ended(3);
    retried.says(&["2 not touched"]);
    site.negative_reply_to("S1");
    crate::support::until("all three to be parked", || (site.errors().len() == 3).then_some(()));
    site.cli(&["queues", "declare", "--yes", "--reason", "mended"]).ended(0);
    // With something to answer them, a canary goes through and the others follow, at their rate.
    let _locations = Reader::of_locations(&site.url);
    let retry = [
        "errors", "retry", "--all", "--yes", "--reason", "mended", "--canary", "1", "--rate", "50",
    ];
    site.cli(&retry).ended(0);
    let told: HashSet<_> =
        site.client.take(queue::REPLY, 3).iter().map(Message::sync_request).collect();
    assert_eq!(told.len(), 3);
}
