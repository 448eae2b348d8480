//! The operator: looks, checks, mends; and is never surprised.

use serde_json::Value;

use crate::support::{Site, properties, queue, request};

/// A site with one parked request `S1` and one parked good request `S2` that anybody may retry.
fn two_parked(site: &Site) -> (String, String) {
    site.send(&request("S1", "P1").unmapped());
    site.negative_reply_to("S1");
    site.client.publish(queue::REQUEST_ERROR, &request("S2", "P2").bytes(), properties());
    site.negative_reply_to("S2");
    (site.error_id("TL2002"), site.error_id("TL6002"))
}

#[test]
fn a_discard_is_told_once_and_can_be_taken_back() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let (bad, _) = two_parked(&site);
    site.cli(&["errors", "discard", &bad, "--reason", "a test of ours"]).ended(0);
    let shown = site.show_error(&bad);
    assert_eq!(shown["status"], "discarded");
    assert_eq!(shown["by"]["reason"], "a test of ours");
    site.request_is("S1", "discarded");
    // Billing heard of the failure when it was parked.
    site.nothing_more("M1");
    site.retry(&bad).ended(1);
    site.cli(&["errors", "discard", &bad, "--reason", "twice"]).ended(1);
    let listed = site.cli(&["errors", "list", "--status", "discarded", "--json"]).ended(0).json();
    assert_eq!(listed[0]["id"], Value::from(bad.clone()));
    site.cli(&["errors", "restore", &bad, "--reason", "a mistake"]).ended(0);
    site.request_is("S1", "parked");
    assert_eq!(site.show_error(&bad)["status"], "open");
    site.nothing_more("M2");
}

#[test]
fn a_dry_run_and_a_check_touch_nothing() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let (_, good) = two_parked(&site);
    let before = site.errors();
    let retry = ["errors", "retry", "--all", "--dry-run", "--json"];
    let looked = site.cli(&retry).ended(3).json();
    assert_eq!((&looked["done"], &looked["total"]), (&1.into(), &2.into()));
    assert_eq!(looked["still_failing"][0]["failure"]["code"], "TL2002");
    site.cli(&["errors", "check", &good, "--json"]).ended(0);
    site.cli(&["errors", "check", "--all", "--json"]).ended(3);
    site.cli(&["errors", "discard", "--all", "--dry-run"]).ended(0);
    site.nothing_more("M1");
    assert_eq!(site.errors(), before);
}

#[test]
fn a_bulk_command_asks_and_its_exit_code_tells_what_came_of_it() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let (bad, good) = two_parked(&site);
    // Nobody is there to ask.
    site.cli(&["errors", "retry", "--all", "--reason", "x"]).ended(2).says(&["--yes"]);
    site.cli(&["errors", "retry", "--reason", "x"]).ended(2).says(&["--all"]);
    site.cli(&["errors", "retry", "--all", "--colour", "red"]).ended(2);
    site.cli(&["errors", "retry", "E-999", "--reason", "x"]).ended(1);
    site.cli(&["errors", "show", "E-999"]).ended(1);
    site.cli(&["errors", "list", "--code", "TL0000"]).ended(2);
    site.cli(&["errors", "list", "--since", "yesterday"]).ended(2);
    site.nothing_more("M1");
    let retried = site.cli(&["errors", "retry", "--all", "--yes", "--reason", "x", "--json"]);
    let told = retried.ended(3).json();
    assert_eq!((&told["done"], &told["total"]), (&1.into(), &2.into()));
    assert_eq!(told["still_failing"][0]["error"], Value::from(bad.clone()));
    site.accept("S2");
    site.positive_reply_to("S2");
    site.retry(&bad).ended(1);
    // A second click: refused, and sent once.
    let refused = site.retry(&good).ended(1).json();
    assert_eq!(refused["refused"][0]["error"], Value::from(good));
    site.nothing_more("M2");
    site.cli(&["errors", "discard", "--all", "--yes", "--reason", "x"]).ended(0);
    site.cli(&["errors", "retry", "--all", "--yes", "--reason", "x"]).ended(0);
}

#[test]
fn a_double_click_sends_once() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let (_, good) = two_parked(&site);
    let codes = std::thread::scope(|scope| {
        let clicks = [(); 3].map(|()| {
            let (site, good) = (site.beside(), good.clone());
            scope.spawn(move || site.cli(&["errors", "retry", &good, "--reason", "click"]).code)
        });
        clicks.map(|click| click.join().unwrap())
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    site.accept("S2");
    site.positive_reply_to("S2");
    site.nothing_more("M1");
}

#[test]
fn selections_name_what_they_say() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let (bad, good) = two_parked(&site);
    let of = |args: &[&str]| -> Vec<String> {
        let args = [&["errors", "list", "--json"], args].concat();
        let listed = site.cli(&args).ended(0).json();
        let ids = listed.as_array().unwrap().iter();
        ids.map(|error| error["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of(&["--code", "TL2002"]), [bad.as_str()]);
    assert_eq!(of(&["--group", "TL2002:location/nodeType"]), [bad.as_str()]);
    assert_eq!(of(&["--service-point", "P2"]), [good.as_str()]);
    assert_eq!(of(&["--sync-request", "S1"]), [bad.as_str()]);
    assert_eq!(of(&[&good]), [good.as_str()]);
    assert_eq!(of(&["--since", "1h"]), [good.as_str(), bad.as_str()], "newest first");
    assert!(of(&["--until", "1h"]).is_empty());
    assert!(of(&["--since", "2999-01-01T00:00:00Z"]).is_empty());
    assert_eq!(of(&["--limit", "1"]), [good.as_str()]);
    let groups = site.cli(&["errors", "groups", "--json"]).ended(0).json();
    assert_eq!(groups.as_array().unwrap().len(), 2, "{groups}");

    let exported = site.cli(&["errors", "export", "--code", "TL2002"]).ended(0);
    let line: Value = serde_json::from_str(&exported.out).unwrap();
    assert_eq!(line["id"], Value::from(bad));
    assert_eq!(line["payload"], Value::from(request("S1", "P1").unmapped().text()));
}

#[test]
fn the_timeline_of_a_request_tells_its_whole_way() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").version(3));
    // An answer may overtake the confirm; this one does not.
    site.request_is("S1", "published");
    let location = site.accept("S1");
    let reply = site.positive_reply_to("S1");
    let shown = site.request_is("S1", "applied");
    let id = shown["id"].as_str().unwrap();
    assert_eq!(location.header("tieline-request").as_deref(), Some(id));
    assert_eq!(shown["service_point"], "P1");
    assert_eq!(shown["version"], 3);
    let traced = site.is_told("S1");
    let kinds: Vec<_> = traced["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    let promised = ["received", "translated", "confirmed", "answered", "replied"];
    let told: Vec<_> = kinds.iter().filter(|kind| promised.contains(kind)).collect();
    assert_eq!(told, promised.iter().collect::<Vec<_>>(), "{traced}");
    let messages = site.cli(&["requests", "show", "S1", "--messages", "--json"]).ended(0).json();
    assert_eq!(messages["messages"]["received"]["payload"], request("S1", "P1").version(3).text());
    assert_eq!(messages["messages"]["location"], location.text());
    assert_eq!(messages["messages"]["replies"][0]["payload"], reply.text());

    let listed = site.cli(&["requests", "list", "--service-point", "P1", "--json"]).ended(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], id);
    site.cli(&["requests", "show", "S1"]).ended(0).says(&[id, "P1", "applied"]);
    site.cli(&["requests", "trace", "S1"]).ended(0).says(&[id]);
    site.cli(&["requests", "show", "NOBODY"]).ended(1);
    site.cli(&["requests", "list", "--state", "lost"]).ended(2);
}

#[test]
fn every_code_is_explained_and_unknown_ones_are_not() {
    let Some(site) = Site::open() else { return };
    for code in ["TL1001", "TL2002", "tl3001", "TL4003", "TL5001", "TL6002"] {
        let page = site.cli(&["explain", code]).ended(0);
        page.says(&[&code.to_uppercase()]);
    }
    site.cli(&["explain", "TL9999"]).ended(2);
}

#[test]
fn commands_work_while_the_bridge_does_not_run() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let (_, good) = two_parked(&site);
    assert_eq!(bridge.stop().code, Some(0));
    site.retry(&good).ended(0);
    let _bridge = site.start();
    site.accept("S2");
    site.positive_reply_to("S2");
}
