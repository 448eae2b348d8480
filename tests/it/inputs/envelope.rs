//! Odd envelopes: properties that billing's library, or somebody else, wrote.
//!
//! Properties that no AMQP library can read are not told here: no client can send them.

use lapin::BasicProperties;
use lapin::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};

use super::requests::hold;
use super::table::Place::Start;
use super::table::{Row, accepted, bytes, insert, made, says, told, untold};
use crate::support::{Message, Site, positive, properties, queue, request};

/// What the good message says about the service point.
const SAID: &str = "Residential electric, rear wall";

/// How often billing repeats itself.
const REPEATS: usize = 1000;

#[test]
fn every_odd_envelope_has_its_end_and_the_next_message_goes_through() {
    let Some(site) = Site::open() else { return };
    site.client.declare("test.elsewhere", FieldTable::default());
    let bridge = site.start();
    let mut rows = content_types();
    rows.extend(content_encodings());
    rows.extend(headers());
    rows.extend(others());
    hold(&site, &bridge, &rows);
    let copies = site.client.depth("test.elsewhere");
    assert_eq!(copies, Some(1), "the broker's own copy, and no reply");
    site.client.delete("test.elsewhere");
}

/// The good message as it is.
fn row(name: &'static str, properties: BasicProperties) -> Row {
    Row::new(name, made(|good| good.as_bytes().to_vec()), accepted()).with(properties)
}

fn content_types() -> Vec<Row> {
    let of = |content_type: &str| properties().with_content_type(content_type.into());
    let refused = |name, content_type: &str| {
        let make = made(|good| good.as_bytes().to_vec());
        Row::new(name, make, untold("TL1006", Start)).with(of(content_type))
    };
    let accented = || insert(SAID, "Café ");
    vec![
        row("no property at all", BasicProperties::default()),
        row("XML by its charset", of("application/xml; charset=UTF-8")),
        row("XML of somebody's own", of("application/vnd.oracle+xml")),
        row("a text that is XML", of("text/plain")),
        row("some octets that are XML", of("application/octet-stream")),
        row("an empty content type", of("")),
        row("255 characters of XML", of(&format!("application/xml;x={}", "x".repeat(237)))),
        refused("JSON that is XML", "application/json"),
        refused("HTML that is XML", "text/html"),
        refused("255 characters of something", &"x".repeat(255)),
        Row::new("a text that is none", bytes(*b"{}"), untold("TL1006", Start))
            .with(of("text/plain")),
        row("a charset that is the same in ASCII", of("text/xml; charset=\"ISO-8859-1\"")),
        Row::new("a charset that is another", accented(), untold("TL1004", Start))
            .with(of("text/xml; charset=ISO-8859-1")),
        Row::new("a charset that is wide", accented(), untold("TL1004", Start))
            .with(of("text/xml; charset=UTF-16")),
        Row::new("a charset that nobody has", accented(), untold("TL1004", Start))
            .with(of("text/xml; charset=nonsense")),
        Row::new(
            "a charset that agrees",
            accented(),
            says("location/description", &format!("Café {SAID}")),
        )
        .with(of("text/xml; charset=utf-8")),
    ]
}

fn content_encodings() -> Vec<Row> {
    let of = |coding: &str| properties().with_content_encoding(coding.into());
    // An empty file, as gzip writes it; what it holds does not matter.
    let zipped = *b"\x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    let refused = |name, coding: &'static str| {
        // The same bytes again would be the same message again.
        let different = [&zipped[..], coding.as_bytes()].concat();
        Row::new(name, bytes(different), untold("TL1006", Start)).with(of(coding))
    };
    vec![
        refused("gzip", "gzip"),
        refused("deflate", "deflate"),
        refused("an encoding that nobody has", "x-nothing"),
        row("an encoding that is none", of("identity")),
        row("a charset where an encoding should be", of("UTF-8")),
    ]
}

fn headers() -> Vec<Row> {
    let of = |name: &str, value| {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), value);
        properties().with_headers(headers)
    };
    let text = |text: &str| AMQPValue::LongString(LongString::from(text));
    let list = |values: Vec<AMQPValue>| AMQPValue::FieldArray(FieldArray::from(values));
    let queue = list(vec![text("test.elsewhere")]);
    vec![
        row("a header of every type", every_type()),
        row("a header of 60 kB", of("big", text(&"x".repeat(60_000)))),
        row(
            "a header of bytes",
            of("bytes", AMQPValue::ByteArray(ByteArray::from(&b"\xFF\0"[..]))),
        ),
        row("a header with a long name", of(&"n".repeat(255), AMQPValue::Void)),
        row("a header with a name beyond ASCII", of("größe\n\u{202E}", AMQPValue::Void)),
        row("x-death with 10 000 entries", of("x-death", list(vec![AMQPValue::Void; 10_000]))),
        row("x-death that is a text", of("x-death", text("forged"))),
        row("x-death that is a number", of("x-death", AMQPValue::LongInt(-1))),
        row("delivered ten times, it says", of("x-delivery-count", AMQPValue::LongLongInt(10))),
        row("a copy elsewhere", of("CC", queue)),
        row("our own header", of("tieline-request", text("forged"))),
        row("our own header, of another type", of("tieline-error", AMQPValue::Boolean(true))),
        row("a trace that is none", of("traceparent", text("00-nonsense"))),
        row("a trace of another type", of("traceparent", AMQPValue::Double(0.5))),
    ]
}

fn every_type() -> BasicProperties {
    let mut inner = FieldTable::default();
    inner.insert("in".into(), AMQPValue::Void);
    let text = AMQPValue::LongString(LongString::from(&b"\xFF\xFE"[..]));
    let values = [
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(i8::MIN),
        AMQPValue::ShortShortUInt(u8::MAX),
        AMQPValue::ShortInt(i16::MIN),
        AMQPValue::ShortUInt(u16::MAX),
        AMQPValue::LongInt(i32::MIN),
        AMQPValue::LongUInt(u32::MAX),
        AMQPValue::LongLongInt(i64::MIN),
        // Not NaN: the broker itself ends the connection of whoever sends that.
        AMQPValue::Float(f32::MIN_POSITIVE),
        AMQPValue::Double(f64::MAX),
        AMQPValue::DecimalValue(DecimalValue { scale: 255, value: u32::MAX }),
        text,
        AMQPValue::Timestamp(u64::MAX),
        AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void])),
        AMQPValue::FieldTable(inner),
        AMQPValue::ByteArray(ByteArray::from(&b"\0"[..])),
        AMQPValue::Void,
    ];
    let mut headers = FieldTable::default();
    for (number, value) in values.into_iter().enumerate() {
        headers.insert(format!("h{number}").into(), value);
    }
    properties().with_headers(headers)
}

fn others() -> Vec<Row> {
    let long: ShortString = "é".repeat(127).into();
    vec![
        row("transient", properties().with_delivery_mode(1)),
        row("the highest priority", properties().with_priority(255)),
        row("one that expires in an hour", properties().with_expiration("3600000".into())),
        row("the broker's user", properties().with_user_id("guest".into())),
        row("a reply to elsewhere", properties().with_reply_to("test.elsewhere".into())),
        row("a cluster id", properties().with_cluster_id("c".into())),
        row("the end of time", properties().with_timestamp(u64::MAX)),
        row("a long type", properties().with_type(long.clone()).with_app_id(long.clone())),
        row("long ids", properties().with_message_id(long.clone()).with_correlation_id(long)),
        row("NUL in an id", properties().with_correlation_id("a\0b".into())),
        row("an empty id", properties().with_message_id("".into()).with_correlation_id("".into())),
        Row::new("a bad message with an odd envelope", insert("<bo>", "<bo>&e;"), {
            told("TL1002", super::table::Place::At("&e;"))
        })
        .with(properties().with_correlation_id("a\0b".into()).with_timestamp(u64::MAX)),
    ]
}

#[test]
fn what_billing_sends_a_thousand_times_is_known_again() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let repeated = request("S1", "P1");
    site.send(&repeated);
    let location = site.location_of("S1");
    let all = vec![repeated.bytes(); REPEATS];
    site.client.publish_all(queue::REQUEST, &all);
    // Not a redelivery by the broker's word, and another message by billing's.
    let anew = properties().with_message_id("anew".into());
    site.client.publish(queue::REQUEST, &repeated.bytes(), anew);
    site.nothing_more("M1");
    site.answer(&location, &positive("S1", "K1"));
    let reply = site.positive_reply_to("S1");
    site.client.publish_all(queue::REQUEST, &all);
    // One that still waits to be sent says it for all that came meanwhile.
    site.send(&request("M2", "9M2"));
    site.accept("M2");
    let again = std::iter::from_fn(|| {
        let next = site.client.next(queue::REPLY);
        (next.sync_request() == "S1").then_some(next)
    });
    let again: Vec<_> = again.collect();
    assert!((1..=REPEATS).contains(&again.len()), "{} replies", again.len());
    let same =
        |other: &Message| other.message_id() == reply.message_id() && other.body == reply.body;
    assert!(again.iter().all(same), "a repeat is the reply that was given before");
    // The same id with another body is a correction, and is sent.
    site.synchronise(&request("S1", "P1").description("corrected"));
    site.no_errors();
}
