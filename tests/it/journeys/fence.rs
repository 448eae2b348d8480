//! The fence: an older copy of the store and a bridge that was relieved publish nothing.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::broker::Node;

use super::http::{free_address, get, ready};
use crate::support::{
    Message, Output, Reader, Shared, Site, has_rabbitmq, positive, queue, request, until,
};

const FENCE: Option<i32> = Some(13);

/// A backup of the store as it is now, taken beside the bridge.
pub(super) fn back_up(site: &Site, name: &str) -> PathBuf {
    let copy = site.path(name);
    let store = rusqlite::Connection::open(site.store()).unwrap();
    store.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    copy
}

/// Puts a backup in the place of the store.
fn put_back(site: &Site, copy: &Path) {
    for ending in ["", "-wal", "-shm"] {
        drop(fs::remove_file(site.path(&format!("tieline.db{ending}"))));
    }
    fs::copy(copy, site.store()).unwrap();
}

/// What `doctor` says about the fence, whatever else it says.
fn doctor_on_fence(output: &Output) -> (String, String) {
    let lines = output.json();
    let line = lines.as_array().unwrap().iter().find(|line| line["check"] == "fence").unwrap();
    let text = |key: &str| line[key].as_str().unwrap().to_owned();
    (text("result"), text("detail"))
}

/// Waits until the fence tells of all that is in the store: it follows within a second.
#[track_caller]
pub(super) fn fence_has_caught_up(site: &Site) {
    until("the fence to catch up with the store", || {
        let (_, detail) = doctor_on_fence(&site.cli(&["doctor", "--json"]).ended(0));
        let number = |after: &str| {
            detail
                .split_once(after)?
                .1
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .map(str::to_owned)
        };
        (number("line ").is_some() && number("line ") == number("store at line ")).then_some(())
    });
}

#[track_caller]
fn assert_same(first: &Message, again: &Message) {
    assert_eq!(first.message_id(), again.message_id());
    assert_eq!(first.body, again.body);
}

#[test]
fn an_older_copy_of_the_store_is_refused_until_somebody_accepts_it() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "never");
    let bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    // One that waits when the backup is taken, and is sent afterwards.
    site.client.delete(queue::LOCATION);
    site.send(&request("S2", "P2"));
    bridge.logs("TL3001");
    let backup = back_up(&site, "backup.db");
    site.cli(&["queues", "declare", "--yes", "--reason", "back"]).ended(0);
    let second = site.accept("S2");
    site.positive_reply_to("S2");
    let (third, _) = site.synchronise(&request("S3", "P3"));
    site.is_told("S3");
    assert_eq!(bridge.stop().code, Some(0));
    let newest = back_up(&site, "newest.db");

    put_back(&site, &backup);
    site.send(&request("S4", "P4"));
    let ended = site.start_in_vain();
    assert_eq!(ended.code, FENCE, "{ended:?}");
    ended.says(&["older than what was published from it", "accept-older", "journal line"]);
    let depths = [queue::LOCATION, queue::REPLY, queue::REQUEST].map(|q| site.client.depth(q));
    assert_eq!(depths, [Some(0), Some(0), Some(1)], "nothing published, nothing consumed");
    let doctor = site.cli(&["doctor", "--json"]).ended(13);
    assert_eq!(doctor_on_fence(&doctor).0, "FAIL", "{doctor:?}");

    // The newer one is as good as ever.
    put_back(&site, &newest);
    assert_eq!(doctor_on_fence(&site.cli(&["doctor", "--json"]).ended(0)).0, "ok");

    put_back(&site, &backup);
    let accept = ["store", "accept-older", "--reason", "the disk died"];
    site.cli(&accept).ended(2).says(&["--yes"]);
    site.cli(&["store", "accept-older", "--dry-run"]).ended(0).says(&["Unknown to this store"]);
    assert_eq!(site.start_in_vain().code, FENCE, "asking and looking accept nothing");
    let accepted = [&accept[..], &["--yes"]].concat();
    site.cli(&accepted).ended(0).says(&["epoch 2", "ask billing to send again"]);
    site.cli(&accepted).ended(0).says(&["nothing to accept"]);
    let bridge = site.start();
    assert_same(&second, &site.accept("S2"));
    site.positive_reply_to("S2");
    site.accept("S4");
    site.positive_reply_to("S4");
    let (again, _) = site.synchronise(&request("S3", "P3"));
    assert_same(&third, &again);
    site.nothing_more("M1");
    assert_eq!(bridge.stop().code, Some(0));

    // The way back is shut: the newer copy is of the epoch before.
    put_back(&site, &newest);
    let ended = site.start_in_vain();
    assert_eq!(ended.code, FENCE, "{ended:?}");
}

#[test]
fn a_bridge_that_is_killed_at_any_moment_is_never_refused() {
    const ROUNDS: usize = 20;
    let Some(site) = Site::open() else { return };
    let locations = Reader::of_locations(&site.url);
    let replies = Reader::of_replies(&site.url);
    let mut sent = 0;
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    let mut bridge = site.start();
    for _ in 0..ROUNDS {
        let requests: Vec<_> = (sent..sent + 60)
            .map(|n| request(&format!("S{n}"), &format!("P{n}")).bytes())
            .collect();
        sent += requests.len();
        site.client.publish_all(queue::REQUEST, &requests);
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let wanted = replies.count() + (chance >> 33) as usize % 60;
        until("some more replies", || (replies.count() >= wanted).then_some(()));
        bridge.kill();
        bridge = site.start();
    }
    super::crash::assert_each_settled_once(&replies.until_about(sent), sent);
    super::crash::assert_resends_are_equal(&locations.taken(), sent);
    assert_eq!(bridge.stop().code, Some(0));
    assert_eq!(site.start().stop().code, Some(0));
}

#[test]
fn a_frozen_bridge_that_was_relieved_publishes_nothing_more_and_ends_by_itself() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "never").with("amqp.heartbeat", "1s");
    let old = site.start();
    site.synchronise(&request("S1", "P1"));
    site.is_told("S1");
    let backup = back_up(&site, "standby.db");
    let (second, _) = site.synchronise(&request("S2", "P2"));
    site.is_told("S2");
    fence_has_caught_up(&site);
    // What only the old one has, and would publish as soon as it goes on.
    site.client.delete(queue::LOCATION);
    site.send(&request("S3", "P3"));
    old.logs("TL3001");
    site.request_is("S3", "pending");
    old.freeze();
    site.cli(&["queues", "declare", "--yes", "--reason", "back"]).ended(0);

    let standby = site.beside().on_store(&backup);
    let ended = standby.start_in_vain();
    assert_eq!(ended.code, FENCE, "{ended:?}");
    standby.cli(&["store", "accept-older", "--yes", "--reason", "the other hangs"]).ended(0);
    let new = standby.start();
    // Billing sends again what it sent since the backup, and goes on.
    site.send(&request("S2", "P2"));
    assert_same(&second, &site.accept("S2"));
    site.positive_reply_to("S2");
    site.synchronise(&request("S3", "P3"));
    site.synchronise(&request("S4", "P4"));

    old.thaw();
    let ended = old.ends();
    assert_eq!(ended.code, FENCE, "{ended:?}");
    ended.says(&["another bridge has taken over", "publishes nothing more"]);
    site.nothing_more("M1");
    assert_eq!(site.client.depth(queue::LOCATION), Some(0));
    assert_eq!(new.stop().code, Some(0));
    // Started again it is refused, and publishes nothing either.
    assert_eq!(site.start_in_vain().code, FENCE);
    assert_eq!(site.client.depth(queue::LOCATION), Some(0));
}

#[test]
fn a_bridge_that_was_frozen_and_not_relieved_goes_on() {
    let Some(site) = Site::open() else { return };
    let site = site.with("unreachable.park_after", "never").with("amqp.heartbeat", "1s");
    let bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    site.client.delete(queue::LOCATION);
    site.send(&request("S2", "P2"));
    bridge.logs("TL3001");
    bridge.freeze();
    site.cli(&["queues", "declare", "--yes", "--reason", "back"]).ended(0);
    // The broker gives up on it: what comes now waits for nobody.
    site.send(&request("S3", "P3"));
    until("the broker to give the consumer up", || {
        (site.client.depth(queue::REQUEST) == Some(1)).then_some(())
    });
    bridge.thaw();
    site.accept("S2");
    site.positive_reply_to("S2");
    site.accept("S3");
    site.positive_reply_to("S3");
    assert_eq!(bridge.stop().code, Some(0));
}

#[test]
fn another_store_on_the_same_queues_is_refused() {
    let (Some(site), Some(elsewhere)) = (Site::open(), Site::open()) else { return };
    let bridge = elsewhere.start();
    elsewhere.synchronise(&request("E1", "P1"));
    assert_eq!(bridge.stop().code, Some(0));
    let bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    // With something in it, or while the other one is at work.
    let other = site.beside().on_store(&elsewhere.store());
    let empty = site.beside().on_store(&site.path("empty.db"));
    for second in [&other, &empty] {
        let ended = second.start_in_vain();
        assert_eq!(ended.code, FENCE, "{ended:?}");
        ended.says(&["the fence is of another store", "consumes the requests at this moment"]);
    }
    site.synchronise(&request("S2", "P2"));
    site.is_told("S2");
    assert_eq!(bridge.stop().code, Some(0));
    assert_eq!(other.start_in_vain().code, FENCE, "whether the other one is at work or not");

    other.cli(&["store", "accept-older", "--yes", "--reason", "moved"]).ended(0);
    let bridge = other.start();
    site.synchronise(&request("S3", "P3"));
    assert_eq!(bridge.stop().code, Some(0));
    assert_eq!(site.start_in_vain().code, FENCE, "now this one is the other one");
}

#[test]
fn an_empty_store_takes_the_place_of_one_that_is_gone_and_says_so() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    site.is_told("S1");
    bridge.kill();
    let empty = site.beside().on_store(&site.path("empty.db"));
    let bridge = empty.start();
    bridge.logs("an empty store takes the place of another one");
    site.synchronise(&request("S2", "P2"));
    bridge.kill();
    assert_eq!(empty.start().stop().code, Some(0));
    let ended = site.start_in_vain();
    assert_eq!(ended.code, FENCE, "{ended:?}");
}

#[test]
fn a_fence_that_is_gone_is_made_anew() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    site.is_told("S1");
    assert_eq!(bridge.stop().code, Some(0));
    let backup = back_up(&site, "backup.db");
    site.client.delete(queue::FENCE);
    site.cli(&["queues", "check"]).ended(0).says(&["queue tieline.fence", "it does not exist"]);
    let bridge = site.start();
    bridge.logs("there is no fence");
    site.synchronise(&request("S2", "P2"));
    site.is_told("S2");
    assert_eq!(bridge.stop().code, Some(0));
    put_back(&site, &backup);
    assert_eq!(site.start_in_vain().code, FENCE);
}

#[test]
fn without_a_right_to_the_fence_the_bridge_works_and_warns() {
    let Some(site) = Site::open() else { return };
    let vhost = site.url.rsplit('/').next().unwrap();
    let all = "^(?!tieline\\\\.fence).*$";
    let definitions = format!(
        r#"{{"users":[{{"name":"narrow","password":"narrow","tags":""}}],
            "permissions":[{{"user":"narrow","vhost":"{vhost}","configure":"{all}","write":"{all}","read":"{all}"}}]}}"#
    );
    Shared::broker().import("narrow", &definitions);
    let url = site.url.replace("guest:guest", "narrow:narrow");
    let narrow = site.beside().with("amqp.url", &url);
    let bridge = narrow.start();
    bridge.logs("the fence is not kept");
    site.synchronise(&request("S1", "P1"));
    narrow.cli(&["queues", "declare", "--yes", "--reason", "new"]).ended(0);
    narrow.cli(&["queues", "check"]).ended(0);
    let doctor = narrow.cli(&["doctor", "--json"]).ended(0);
    assert_eq!(doctor_on_fence(&doctor).0, "warn", "{doctor:?}");
    assert_eq!(bridge.stop().code, Some(0));
    assert_eq!(site.client.depth(queue::FENCE), None);
}

/// How long the fence has not been kept, by the bridge's metrics.
fn age(address: &str) -> f64 {
    let (_, metrics) = get(address, "/metrics");
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("tieline_fence_age_seconds "));
    value.unwrap().parse().unwrap()
}

#[test]
fn the_fence_of_a_bridge_without_work_does_not_age() {
    let Some(site) = Site::open() else { return };
    let address = free_address();
    let site = site.with("http.listen", &address);
    let _bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    site.is_told("S1");
    fence_has_caught_up(&site);
    // Nothing is written any more, and still it falls back each time it is looked into.
    let mut before = age(&address);
    for _ in 0..2 {
        until("the age to fall", || {
            let now = age(&address);
            (now < std::mem::replace(&mut before, now)).then_some(())
        });
    }
}

#[test]
fn in_an_alarm_the_fence_is_left_where_it_is_and_kept_again_afterwards() {
    if !has_rabbitmq() {
        return;
    }
    let node = Node::start().unwrap();
    let address = free_address();
    let site = Site::at(&node.amqp_url())
        .with("http.listen", &address)
        .with("unreachable.park_after", "never");
    let bridge = site.start();
    site.send(&request("S1", "P1").unmapped());
    site.negative_reply_to("S1");
    let older = back_up(&site, "older.db");
    site.synchronise(&request("S2", "P2"));
    site.is_told("S2");
    fence_has_caught_up(&site);
    assert!(age(&address) < 3.0, "kept as long as there is nothing to tell");

    node.ctl(&["set_vm_memory_high_watermark", "0.0001"]).unwrap();
    // What an operator does goes into the store, and is not in the fence.
    let error = site.error_id("TL2002");
    site.cli(&["errors", "discard", &error, "--reason", "too old"]).ended(0);
    let why = "the broker takes no messages now: low on memory";
    let told = bridge.logs("the fence is not kept");
    assert!(told.contains(why), "{told}");
    until("health to tell", || {
        let (status, report) = ready(&address);
        let checks = report["checks"].as_array().unwrap();
        let fence = checks.iter().find(|check| check["name"] == "fence").unwrap();
        (status == 200 && fence["detail"].as_str().unwrap().contains(why)).then_some(())
    });
    until("the fence to grow old", || (age(&address) > 3.0).then_some(()));
    // Another bridge finds it all the same.
    let ended = site.beside().on_store(&older).start_in_vain();
    assert_eq!(ended.code, FENCE, "{ended:?}");
    ended.says(&["older than what was published from it"]);

    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
    bridge.logs("the fence is kept again");
    fence_has_caught_up(&site);
    until("the fence to be new", || (age(&address) < 3.0).then_some(()));
    assert_eq!(bridge.stop().code, Some(0));
}

#[test]
fn a_site_without_a_fence_has_no_queue_for_it() {
    let Some(site) = Site::open() else { return };
    let site = site.with("store.fence", "false");
    let bridge = site.start();
    site.send(&request("S1", "P1"));
    let location = site.location_of("S1");
    site.answer(&location, &positive("S1", "K1"));
    site.positive_reply_to("S1");
    site.cli(&["queues", "check"]).ended(0);
    site.cli(&["doctor"]).ended(0);
    assert_eq!(bridge.stop().code, Some(0));
    assert_eq!(site.client.depth(queue::FENCE), None);
}
