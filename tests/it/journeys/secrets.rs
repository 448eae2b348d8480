//! What must not be seen: passwords, and what messages hold.

use crate::support::{Site, queue, request};

#[test]
fn logs_hold_no_password_and_no_content_of_a_message() {
    let Some(site) = Site::open() else { return };
    let site = site.with("telemetry.log", "debug").with("unreachable.park_after", "0");
    let bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    site.send(&request("S2", "P2").unmapped());
    site.negative_reply_to("S2");
    site.client.delete(queue::LOCATION);
    site.send(&request("S3", "P3"));
    site.negative_reply_to("S3");
    let log = bridge.stop().log.join("\n");
    for secret in ["guest:guest", "Sutter", "beware of dog"] {
        assert!(!log.contains(secret), "'{secret}' in the log");
    }
}

#[test]
fn no_command_shows_a_password() {
    let Some(site) = Site::open() else { return };
    let canary = "canary-8371";
    let dead = format!("amqp://guest:{canary}@127.0.0.1:1/%2f");
    let site =
        site.with("amqp.url", &dead).with("amqp.management_url", &dead.replace("amqp:", "http:"));
    let commands: [&[&str]; 6] = [
        &["config", "show"],
        &["config", "show", "--json"],
        &["queues", "check"],
        &["queues", "declare", "--yes", "--reason", "x"],
        &["doctor"],
        &["run"],
    ];
    for args in commands {
        let output = site.cli(args);
        assert!(
            !output.out.contains(canary) && !output.err.contains(canary),
            "{args:?}: {output:?}"
        );
        let expected = if args[0] == "config" { 0 } else { 11 };
        assert_eq!(output.code, expected, "{args:?}: {output:?}");
    }
}

#[test]
fn a_password_may_stand_in_a_file_of_its_own() {
    let Some(site) = Site::open() else { return };
    let path = site.path("amqp-url");
    std::fs::write(&path, format!("{}\n", site.url)).unwrap();
    let site = site
        .with("amqp.url", "amqp://guest:wrong@127.0.0.1:1/%2f")
        .with("amqp.url_file", &path.display().to_string());
    let _bridge = site.start();
    site.synchronise(&request("S1", "P1"));
    let site = site.with("amqp.url_file", "/nowhere/amqp-url");
    let ended = site.cli(&["config", "check"]).ended(10);
    ended.says(&["amqp.url_file", "/nowhere/amqp-url"]);
}
