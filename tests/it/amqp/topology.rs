//! The topology on a broker: made, checked, refused where it could lose a message.

use std::time::Instant;

use secrecy::SecretString;
use serde_json::{Value, json};
use tieline::amqp::facts::{Alarms, facts};
use tieline::amqp::topology::{Finding, Management, Outcome, Report, Severity, Version, View};
use tieline::amqp::{Endpoint, Role, Topology};
use tieline::bridge::Lane;

use super::bench::{
    Api, PATIENCE, consume, endpoint, has_rabbitmq, message, node, publisher, site,
};

fn management(endpoint: &Endpoint) -> Management {
    Management::new(&node().management_url().unwrap().into(), endpoint).unwrap()
}

/// Looks both ways.
async fn reports(topology: &Topology, endpoint: &Endpoint, roles: &[Role]) -> [Report; 2] {
    let management = management(endpoint);
    let managed = topology.check(endpoint, Some(&management), roles).await.unwrap();
    let plain = topology.check(endpoint, None, roles).await.unwrap();
    assert_eq!((managed.view, plain.view), (View::Management, View::Plain));
    [managed, plain]
}

fn refused(report: &Report) -> Vec<&Finding> {
    report.refused().collect()
}

/// The built-in topology with another request queue.
fn with_request_queue(name: &str) -> Topology {
    let text = include_str!("../../../queues/topology.toml");
    Topology::parse(&text.replace("\"ccb.sp.request\"", &format!("\"{name}\"")), "test").unwrap()
}

#[tokio::test]
async fn what_is_missing_is_refused_then_made_once_and_then_well() {
    if !has_rabbitmq() {
        return;
    }
    let vhost = node().vhost("declare").unwrap();
    let endpoint = endpoint(&vhost.url);
    let topology = Topology::built_in();
    for report in reports(&topology, &endpoint, &Role::ALL).await {
        let missing = report.refused().filter(|finding| finding.found == "it does not exist");
        assert!(missing.count() >= 9, "{report:#?}");
        assert!(report.refused().all(|f| f.fix.as_deref() == Some("tieline queues declare")));
    }
    let made = topology.declare(&endpoint, &Role::ALL).await.unwrap();
    assert_eq!(made.iter().filter(|made| made.outcome == Outcome::Made).count(), 10, "{made:#?}");
    let again = topology.declare(&endpoint, &Role::ALL).await.unwrap();
    assert_eq!(again.iter().filter(|made| made.outcome == Outcome::Exists).count(), 10);
    let [managed, plain] = reports(&topology, &endpoint, &Role::ALL).await;
    assert_eq!(managed.severity(), Severity::Ok, "{managed:#?}");
    assert_eq!(plain.severity(), Severity::Warn, "{plain:#?}");
    assert_eq!(refused(&plain), [&plain.findings[0]; 0]);
}

/// What makes a request queue unsafe, by what it is made with, and what the finding says.
fn unsafe_queues() -> Vec<(&'static str, Value, &'static str)> {
    let safe = json!({
        "x-queue-type": "quorum", "x-single-active-consumer": true, "x-delivery-limit": 100,
        "x-dead-letter-exchange": "tieline.errors", "x-dead-letter-routing-key": "request.dead",
        "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
    });
    let but = |key: &str, value: Value| {
        let mut arguments = safe.clone();
        let map = arguments.as_object_mut().unwrap();
        if value.is_null() {
            map.remove(key)
        } else {
            map.insert(key.to_owned(), value)
        };
        if key == "x-dead-letter-exchange" {
            map.remove("x-dead-letter-routing-key");
        }
        json!({ "durable": true, "arguments": arguments })
    };
    vec![
        ("bad.classic", json!({ "durable": true }), "type classic"),
        ("bad.transient", json!({ "durable": false }), "it is transient"),
        ("bad.ttl", but("x-message-ttl", json!(60000)), "message-ttl 60000 ms (argument)"),
        ("bad.expires", but("x-expires", json!(3_600_000)), "expires 3600000 ms (argument)"),
        ("bad.drop-head", but("x-overflow", json!("drop-head")), "overflow drop-head (argument)"),
        ("bad.no-dlx", but("x-dead-letter-exchange", Value::Null), "no dead-letter exchange"),
        (
            "bad.at-most-once",
            but("x-dead-letter-strategy", json!("at-most-once")),
            "dead-letter strategy at-most-once (argument)",
        ),
        ("bad.default-overflow", but("x-overflow", Value::Null), "no overflow strategy"),
    ]
}

#[tokio::test]
async fn a_queue_that_could_lose_a_message_is_refused_with_its_remedy() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("unsafe").await;
    let api = Api::new();
    for (name, body, expected) in unsafe_queues() {
        api.put(&["queues", &vhost.name, name], &body).await;
        let topology = with_request_queue(name);
        for report in reports(&topology, &endpoint, &[Role::Request]).await {
            let found = report.refused().find(|finding| finding.found.starts_with(expected));
            let found = found.unwrap_or_else(|| panic!("{name}: {report:#?}"));
            let fix = found.fix.as_deref().unwrap();
            let command = ["rabbitmqctl delete_queue", "rabbitmqctl set_policy"];
            assert!(command.iter().any(|command| fix.contains(command)), "{name}: {fix}");
            assert!(fix.contains(name) || fix.contains(&name.replace('.', "\\.")), "{fix}");
        }
    }
}

#[tokio::test]
async fn policies_make_a_queue_safe_or_unsafe_and_are_seen_through_management_only() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("policies").await;
    let api = Api::new();
    let bare = json!({
        "durable": true,
        "arguments": { "x-queue-type": "quorum", "x-single-active-consumer": true },
    });
    api.put(&["queues", &vhost.name, "by.policy"], &bare).await;
    let safe = json!({
        "delivery-limit": 100, "dead-letter-exchange": "tieline.errors",
        "dead-letter-routing-key": "request.dead", "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
    });
    let policy = |pattern: &str, definition: &Value| json!({ "pattern": pattern, "apply-to": "queues", "definition": definition });
    api.put(&["policies", &vhost.name, "safe"], &policy("^by\\.policy$", &safe)).await;
    // Bound to tieline.in under its own name, as the topology has it.
    let topology = with_request_queue("by.policy");
    topology.declare(&endpoint, &Role::ALL).await.unwrap();
    let [managed, plain] = reports(&topology, &endpoint, &[Role::Request]).await;
    assert_eq!(managed.severity(), Severity::Ok, "{managed:#?}");
    assert_eq!(plain.severity(), Severity::Refuse, "{plain:#?}");
    assert_eq!(plain.findings[0].thing, "policies and bindings");

    let expiring = json!({ "message-ttl": 1000 });
    let body = policy("^ccb\\.sp\\.ack$", &expiring);
    api.put(&["policies", &vhost.name, "expiring"], &body).await;
    let topology = Topology::built_in();
    // The plugin tells of a policy with the next statistics, within some seconds.
    let begun = Instant::now();
    let plain = loop {
        let [managed, plain] = reports(&topology, &endpoint, &[Role::Reply]).await;
        if let Some(found) = managed.refused().next() {
            assert_eq!(found.found, "message-ttl 1000 ms (policy expiring)");
            break plain;
        }
        assert!(begun.elapsed() < PATIENCE, "{managed:#?}");
    };
    assert_eq!(plain.severity(), Severity::Warn, "{plain:#?}");
}

#[tokio::test]
async fn an_alternate_exchange_and_a_missing_binding_are_refused() {
    if !has_rabbitmq() {
        return;
    }
    let vhost = node().vhost("alternate").unwrap();
    let endpoint = endpoint(&vhost.url);
    let api = Api::new();
    let body = json!({
        "type": "direct", "durable": true, "arguments": { "alternate-exchange": "amq.fanout" },
    });
    api.put(&["exchanges", &vhost.name, "tieline.out"], &body).await;
    let topology = Topology::built_in();
    topology.declare(&endpoint, &Role::ALL).await.unwrap();
    let binding = ["bindings", &vhost.name, "e", "tieline.out", "q", "ccb.sp.ack", "ccb.sp.ack"];
    api.delete(&binding).await;
    let [managed, plain] = reports(&topology, &endpoint, &Role::ALL).await;
    let things = |report: &Report| report.refused().map(|f| f.thing.clone()).collect::<Vec<_>>();
    assert_eq!(things(&managed), ["exchange tieline.out", "binding tieline.out -> ccb.sp.ack"]);
    assert_eq!(things(&plain), ["exchange tieline.out"]);
    assert!(plain.refused().all(|finding| finding.found == "alternate exchange amq.fanout"));
}

#[tokio::test]
async fn a_rejected_message_comes_to_the_error_queue_of_its_leg() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("dead-letter").await;
    let publisher = publisher(&endpoint, Lane::Reply);
    for result in publisher.publish_raw(&[message("ccb.sp.ack", "rejected")]).await {
        result.unwrap();
    }
    let api = Api::new();
    api.reject_one(&vhost.name, "ccb.sp.ack").await;
    let mut desk = consume(&endpoint, "wam.location.ack.error", &[]);
    let dead = desk.next_arrivals().await;
    assert_eq!(dead[0].payload, b"rejected");
    assert_eq!(dead[0].properties.exchange, "tieline.errors");
    assert_eq!(dead[0].properties.routing_key, "reply.dead");
    assert_eq!(dead[0].properties.header("x-first-death-queue"), Some("ccb.sp.ack"));
    desk.stop().await;
}

#[tokio::test]
async fn the_facts_of_a_broker_are_its_version_and_its_alarms() {
    if !has_rabbitmq() {
        return;
    }
    let vhost = node().vhost("facts").unwrap();
    let endpoint = endpoint(&vhost.url);
    let seen = facts(&endpoint, Some(&management(&endpoint))).await.unwrap();
    assert_eq!(seen.greeting.product.as_deref(), Some("RabbitMQ"));
    assert_eq!(seen.greeting.version, Some(node().version().parse().unwrap()));
    assert_eq!(seen.alarms, Alarms::None);
    let wrong = SecretString::from(node().management_url().unwrap().replace(":guest", ":s3cret"));
    let management = Management::new(&wrong, &endpoint).unwrap();
    let Alarms::Unseen(why) = facts(&endpoint, Some(&management)).await.unwrap().alarms else {
        panic!("a wrong password was taken");
    };
    assert!(why.contains("user 'guest' needs the tag 'monitoring'"), "{why}");
    assert!(!why.contains("s3cret"), "{why}");
}

#[tokio::test]
async fn exported_definitions_are_taken_by_the_broker_and_pass_the_check() {
    if !has_rabbitmq() {
        return;
    }
    let vhost = node().vhost("definitions").unwrap();
    let endpoint = endpoint(&vhost.url);
    let topology = Topology::built_in();
    let version: Version = node().version().parse().unwrap();
    let path = node().dir().join("definitions-test.json");
    std::fs::write(&path, topology.definitions(&vhost.name, version).to_string()).unwrap();
    node().ctl(&["import_definitions", path.to_str().unwrap()]).unwrap();
    let [managed, _] = reports(&topology, &endpoint, &Role::ALL).await;
    assert_eq!(managed.severity(), Severity::Ok, "{managed:#?}");
}

/// RabbitMQ before 4.0 takes a delivery limit of -1 for what it says: less than one delivery.
#[tokio::test]
async fn a_lifted_delivery_limit_is_refused_on_a_broker_that_does_not_know_it() {
    if !has_rabbitmq() || node().version().starts_with('4') {
        return;
    }
    let (vhost, endpoint) = site("lifted").await;
    let api = Api::new();
    let body = json!({
        "durable": true, "arguments": { "x-queue-type": "quorum", "x-delivery-limit": -1 },
    });
    api.put(&["queues", &vhost.name, "lifted"], &body).await;
    let text = include_str!("../../../queues/topology.toml");
    let text = text.replace("\"ccb.sp.request.error\"", "\"lifted\"");
    let topology = Topology::parse(&text, "test").unwrap();
    for report in reports(&topology, &endpoint, &[Role::RequestErrors]).await {
        let found = report.refused().next().unwrap();
        assert_eq!(found.found, "delivery limit -1 (argument)");
    }
    // And rightly so: what is looked at once is gone.
    let publisher = publisher(&endpoint, Lane::Reply);
    let sent = [message("lifted", "first"), message("lifted", "second")];
    publisher.publish_raw(&sent).await.into_iter().for_each(|result| result.unwrap());
    api.look_at_one(&vhost.name, "lifted").await;
    let mut consumer = consume(&endpoint, "lifted", &[]);
    assert_eq!(consumer.next_batch().await, ["second"]);
    consumer.stop().await;
}
