//! The tools around the bridge: definitions for the broker, mappings by hand, the demonstration.

use std::fs;

use crate::support::{Shared, Site, queue, request};

#[test]
fn exported_definitions_make_a_broker_on_which_the_bridge_runs() {
    let Some(site) = Site::open() else { return };
    let site = site.with("queues.declare", "never");
    let (_, vhost) = site.url.rsplit_once('/').unwrap();
    let broker = Shared::broker();
    let args = ["queues", "export", "--vhost", vhost, "--broker", broker.version()];
    broker.import(vhost, &site.cli(&args).ended(0).out);
    site.cli(&["queues", "check"]).ended(0);
    let _bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    site.send(&request("S2", "P2"));
    site.client.reject_next(queue::LOCATION);
    site.error("TL3005");
}

#[test]
fn a_mapping_can_be_tried_before_it_runs() {
    let Some(site) = Site::open() else { return };
    let site = site.with_own_mappings();
    site.cli(&["transforms", "check"]).ended(0);
    site.cli(&["transforms", "test"]).ended(0);
    let (good, bad) = (site.path("good.xml"), site.path("bad.xml"));
    fs::write(&good, request("S1", "P1").bytes()).unwrap();
    fs::write(&bad, request("S2", "P2").unmapped().time_zone("X-ZONE").bytes()).unwrap();
    let tried = site.cli(&["transforms", "try", &good.display().to_string(), "--exact"]).ended(0);
    let bridge = site.start();
    site.send(&request("S1", "P1"));
    assert_eq!(
        site.location_of("S1").text().trim(),
        tried.out.trim(),
        "what runs is what was tried"
    );
    let tried = site.cli(&["transforms", "try", &bad.display().to_string()]).ended(1);
    tried.says(&["TL2002", "X-UNMAP", "X-ZONE", "servicePoint/spType"]);
    site.cli(&["transforms", "try", "nowhere.xml"]).ended(2);
    // A sample that no longer comes out as expected fails the test.
    site.add_entry("sp-type", "E-LATER", "X");
    site.cli(&["transforms", "test"]).ended(0);
    let map = site.mappings().join("maps/sp-type.toml");
    let text = fs::read_to_string(&map).unwrap();
    fs::write(&map, text.replace("RES-METER-SOCKET\"", "OTHER-SOCKET\"")).unwrap();
    site.cli(&["transforms", "test"]).ended(3).says(&["OTHER-SOCKET"]);
    assert_eq!(bridge.stop().code, Some(0));
}

#[test]
fn the_demonstration_adds_up_and_leaves_the_real_queues_alone() {
    let Some(site) = Site::open() else { return };
    let shown = site.cli(&["demo", "--requests", "200", "--exit"]).ended(0);
    assert!(shown.out.contains("200"), "{}", shown.out);
    assert_eq!(site.client.depth(queue::REQUEST), None, "the demo has queues of its own");
}
