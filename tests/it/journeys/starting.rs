//! Starting: what is wrong is said at once, with the exit code that scripts rely on.

use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::support::{Gate, Site, queue};

const SETTINGS: Option<i32> = Some(10);
const BROKER: Option<i32> = Some(11);
const STORE: Option<i32> = Some(12);

#[test]
fn a_broker_that_is_away_at_the_start_is_said_with_its_address() {
    let Some(site) = Site::open() else { return };
    let (gate, url) = Gate::before(&site.url);
    let site = site.with("amqp.url", &url);
    let ended = site.start_in_vain();
    assert_eq!(ended.code, BROKER, "{ended:?}");
    ended.says(&[&gate.address()]);
    let wrong = url.replace("guest:guest", "guest:pass-canary");
    gate.open();
    let ended = site.with("amqp.url", &wrong).start_in_vain();
    assert_eq!(ended.code, BROKER, "{ended:?}");
    assert!(!ended.log.join("\n").contains("pass-canary"), "no password in a log: {ended:?}");
}

#[test]
fn bad_settings_are_refused_and_the_key_is_named() {
    let Some(site) = Site::open() else { return };
    let site = site.with("answer.timeout", "soon");
    let ended = site.start_in_vain();
    assert_eq!(ended.code, SETTINGS, "{ended:?}");
    ended.says(&["answer.timeout", "soon"]);
    site.cli(&["config", "check"]).ended(10).says(&["answer.timeout"]);

    let site = site.with("answer.timeout", "1h").with("amqp.prefetsch", "7");
    let ended = site.start_in_vain();
    assert_eq!(ended.code, SETTINGS, "{ended:?}");
    ended.says(&["prefetsch"]);
}

#[test]
fn a_mistake_in_the_settings_file_is_shown_in_its_place() {
    let Some(site) = Site::open() else { return };
    std::fs::write(
        site.path("tieline.toml"),
        "[answer]\ntimeout = \"1h\"\n\n[amqp]\nbatch = \"many\"\n",
    )
    .unwrap();
    let ended = site.start_in_vain();
    assert_eq!(ended.code, SETTINGS, "{ended:?}");
    ended.says(&["tieline.toml", "batch = \"many\"", ":5:9"]);
    std::fs::write(site.path("tieline.toml"), "[answer]\ntimeout = \"1h\"\n[oops\n").unwrap();
    let ended = site.start_in_vain();
    assert_eq!(ended.code, SETTINGS, "{ended:?}");
    ended.says(&["tieline.toml"]);
}

#[test]
fn a_mapping_with_a_mistake_is_refused_at_the_start_with_file_and_line() {
    let Some(site) = Site::open() else { return };
    let site = site.with_own_mappings();
    super::mappings::break_mapping(&site);
    let ended = site.start_in_vain();
    assert_eq!(ended.code, SETTINGS, "{ended:?}");
    ended.says(&["sp-type.toml"]);
    site.cli(&["transforms", "check"]).ended(10).says(&["sp-type.toml"]);
}

#[test]
fn a_second_bridge_on_the_same_store_is_refused() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let ended = site.start_in_vain();
    assert_eq!(ended.code, STORE, "{ended:?}");
    // The command line may look and mend beside it.
    site.cli(&["store", "status", "--json"]).ended(0);
    bridge.kill();
    // A killed one leaves no lock behind.
    assert_eq!(site.start().stop().code, Some(0));
}

#[test]
fn a_store_that_cannot_be_opened_is_refused() {
    let Some(site) = Site::open() else { return };
    let nowhere = format!("sqlite:{}", site.path("nowhere/tieline.db").display());
    let site = site.with("store.url", &nowhere);
    let ended = site.start_in_vain();
    assert_eq!(ended.code, STORE, "{ended:?}");
    ended.says(&["nowhere"]);
    std::fs::write(
        site.path("text.db"),
        "this is no database, but a text of some length\n".repeat(99),
    )
    .unwrap();
    let text = format!("sqlite:{}", site.path("text.db").display());
    let ended = site.with("store.url", &text).start_in_vain();
    assert_eq!(ended.code, STORE, "{ended:?}");
}

#[test]
fn a_queue_that_can_lose_messages_is_refused_with_the_fix() {
    let Some(site) = Site::open() else { return };
    site.client.declare(queue::REQUEST, FieldTable::default());
    let ended = site.start_in_vain();
    assert_eq!(ended.code, BROKER, "{ended:?}");
    ended.says(&[queue::REQUEST, "quorum"]);
    let checked = site.cli(&["queues", "check"]);
    assert_ne!(checked.code, 0, "{checked:?}");
    checked.says(&[queue::REQUEST, "quorum"]);

    site.client.delete(queue::REQUEST);
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(60_000));
    site.client.declare(queue::REQUEST, arguments);
    let ended = site.start_in_vain();
    assert_eq!(ended.code, BROKER, "{ended:?}");
    ended.says(&[queue::REQUEST, "message-ttl", "fix:"]);

    // The fix works.
    site.client.delete(queue::REQUEST);
    site.cli(&["queues", "declare", "--yes", "--reason", "mended"]).ended(0);
    site.cli(&["queues", "check"]).ended(0);
    assert_eq!(site.start().stop().code, Some(0));
}

#[test]
fn an_empty_broker_is_made_ready_and_found_so_again() {
    let Some(site) = Site::open() else { return };
    let site = site.with("queues.declare", "never");
    let ended = site.start_in_vain();
    assert_eq!(ended.code, BROKER, "{ended:?}");
    ended.says(&[queue::REQUEST]);
    let checked = site.cli(&["queues", "check"]);
    assert_ne!(checked.code, 0, "{checked:?}");
    site.cli(&["queues", "declare", "--dry-run"]).ended(0);
    assert_eq!(site.client.depth(queue::REQUEST), None, "a dry run makes nothing");
    site.cli(&["queues", "declare", "--yes", "--reason", "new"]).ended(0);
    site.cli(&["queues", "declare", "--yes", "--reason", "twice"]).ended(0);
    for name in queue::ALL {
        assert_eq!(site.client.depth(name), Some(0), "{name}");
    }
    let checked = site.cli(&["queues", "check", "--json"]).ended(0);
    checked.json();
    assert_eq!(site.start().stop().code, Some(0));
    site.cli(&["doctor"]).ended(0);
}
