//! The properties of what is published.

use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::support::{Message, Site, properties, queue, request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn an_asset_location_carries_what_was_promised() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let request = request("S1", "P1");
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = header("traceparent", &traceparent);
    site.client.publish(queue::REQUEST, &request.bytes(), properties().with_headers(headers));

    let location = site.accept("S1");
    assert_common(&location);
    assert_eq!(location.exchange, "tieline.out");
    assert_eq!(location.routing_key, queue::LOCATION);
    assert_eq!(location.correlation_id(), location.message_id());
    let reply_to = location.properties.reply_to().as_ref().map(ToString::to_string);
    assert_eq!(reply_to.as_deref(), Some(queue::ANSWER));

    let reply = site.positive_reply_to("S1");
    assert_common(&reply);
    assert_eq!(reply.exchange, "tieline.out");
    assert_eq!(reply.routing_key, queue::REPLY);
    assert_ne!(reply.message_id(), location.message_id());
    assert_eq!(reply.header("tieline-request"), location.header("tieline-request"));
}

fn assert_common(message: &Message) {
    let properties = &message.properties;
    assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/xml");
    assert!(properties.kind().as_ref().is_some_and(|kind| !kind.as_str().is_empty()), "type");
    assert_eq!(message.header("tieline-sync-request").unwrap(), "S1");
    assert_eq!(message.header("tieline-service-point").unwrap(), "P1");
    assert!(message.header("tieline-request").is_some());
    let traceparent = message.header("traceparent").unwrap();
    assert_eq!(traceparent.split('-').nth(1), Some(TRACE), "billing's trace goes on");
    for (name, value) in properties.headers().as_ref().unwrap().inner() {
        assert!(matches!(value, AMQPValue::LongString(_)), "header {name}: {value:?}");
    }
}

#[test]
fn a_reply_is_correlated_as_billing_asked_and_goes_nowhere_else() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.client.declare("test.elsewhere", FieldTable::default());
    let plain = || properties().with_reply_to("test.elsewhere".into());
    let cases = [
        ("S1", plain().with_correlation_id("c-1".into()).with_message_id("m-1".into()), "c-1"),
        ("S2", plain().with_message_id("m-2".into()), "m-2"),
        ("S3", plain(), "S3"),
    ];
    for (id, properties, expected) in cases {
        site.client.publish(queue::REQUEST, &request(id, id).bytes(), properties);
        site.accept(id);
        assert_eq!(site.positive_reply_to(id).correlation_id(), expected);
    }
    let refused = properties().with_correlation_id("c-4".into());
    site.client.publish(queue::REQUEST, &request("S4", "P4").unmapped().bytes(), refused);
    assert_eq!(site.negative_reply_to("S4").correlation_id(), "c-4");
    assert_eq!(site.client.depth("test.elsewhere"), Some(0), "reply_to is no address");
}

#[test]
fn headers_of_a_request_do_not_travel_and_cannot_pass_for_ours() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let mut headers = header("tieline-request", "forged");
    headers.insert("x-secret".into(), AMQPValue::LongString(LongString::from("s")));
    headers.insert("x-death".into(), AMQPValue::LongString(LongString::from("forged")));
    headers.insert("nested".into(), AMQPValue::FieldTable(header("a", "b")));
    let properties = properties().with_headers(headers).with_priority(255);
    site.client.publish(queue::REQUEST, &request("S1", "P1").bytes(), properties);
    let location = site.accept("S1");
    assert_ne!(location.header("tieline-request").unwrap(), "forged");
    let reply = site.positive_reply_to("S1");
    for message in [location, reply] {
        let headers = message.properties.headers().clone().unwrap();
        for name in ["x-secret", "x-death", "nested"] {
            assert!(!headers.contains_key(name), "{name} travelled");
        }
        assert_eq!(*message.properties.priority(), None);
    }
}

fn header(name: &str, value: &str) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    headers
}
