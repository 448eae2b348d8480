//! Message properties: from the broker's to the bridge's and back.
//!
//! Inwards everything is taken, whatever its type. Outwards there are long strings only, because a
//! short string as a header's value ends the connection on RabbitMQ
//! (<https://github.com/amqp-rs/lapin/issues/360>), and never more than 8 KiB of them, because
//! headers that do not fit a frame end it too. `x-*` headers belong to the broker and are never
//! sent. A resend has equal properties: nothing in them depends on the time or the attempt.

use lapin::message::Delivery;
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use lapin::{BasicProperties, types};

use super::topology::{Role, Topology};
use crate::bridge::message::{What, header};
use crate::bridge::{Arrival, HeaderValue, Outgoing, Properties};

/// The most that all headers of a message may take, names and values, in bytes.
const HEADERS_BYTES_MAX: usize = 8 * 1024;

/// The most that one header's value may take, in bytes.
const HEADER_BYTES_MAX: usize = 1024;

/// The longest short string, in bytes.
const SHORT_BYTES_MAX: usize = types::MAX_SHORT_STRING_LENGTH;

/// How deep tables within headers are followed. Deeper ones are kept as [`HeaderValue::Void`]: our
/// thread's stack is finite, and no header that means something to us is nested at all.
pub(super) const DEPTH_MAX: usize = 32;

/// The mark of a persistent message (AMQP 0-9-1, `delivery-mode`).
const PERSISTENT: u8 = 2;

/// What `publish` needs to know besides the payload.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Envelope {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) properties: BasicProperties,
}

/// Takes a delivery for the bridge.
pub(super) fn arrival(delivery: Delivery) -> Arrival {
    let mut properties = properties(&delivery.properties);
    properties.exchange = delivery.exchange.into();
    properties.routing_key = delivery.routing_key.into();
    Arrival { payload: delivery.data, properties }
}

fn properties(raw: &BasicProperties) -> Properties {
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    Properties {
        content_type: text(raw.content_type()),
        content_encoding: text(raw.content_encoding()),
        headers: raw.headers().as_ref().map(|headers| table(headers, 0)).unwrap_or_default(),
        delivery_mode: *raw.delivery_mode(),
        priority: *raw.priority(),
        correlation_id: text(raw.correlation_id()),
        reply_to: text(raw.reply_to()),
        expiration: text(raw.expiration()),
        message_id: text(raw.message_id()),
        timestamp: *raw.timestamp(),
        kind: text(raw.kind()),
        user_id: text(raw.user_id()),
        app_id: text(raw.app_id()),
        unreadable: None,
        exchange: String::new(),
        routing_key: String::new(),
    }
}

fn table(raw: &FieldTable, depth: usize) -> Vec<(String, HeaderValue)> {
    raw.into_iter().map(|(name, value)| (name.to_string(), header_value(value, depth))).collect()
}

fn header_value(raw: &AMQPValue, depth: usize) -> HeaderValue {
    match raw {
        AMQPValue::Boolean(flag) => HeaderValue::Bool(*flag),
        AMQPValue::ShortShortInt(number) => HeaderValue::Integer(i64::from(*number)),
        AMQPValue::ShortShortUInt(number) => HeaderValue::Integer(i64::from(*number)),
        AMQPValue::ShortInt(number) => HeaderValue::Integer(i64::from(*number)),
        AMQPValue::ShortUInt(number) => HeaderValue::Integer(i64::from(*number)),
        AMQPValue::LongInt(number) => HeaderValue::Integer(i64::from(*number)),
        AMQPValue::LongUInt(number) => HeaderValue::Integer(i64::from(*number)),
        AMQPValue::LongLongInt(number) => HeaderValue::Integer(*number),
        AMQPValue::Float(number) => float(f64::from(*number)),
        AMQPValue::Double(number) => float(*number),
        AMQPValue::DecimalValue(decimal) => HeaderValue::Decimal(decimal.scale, decimal.value),
        AMQPValue::ShortString(text) => HeaderValue::Text(text.to_string()),
        AMQPValue::LongString(text) => long_string(text.as_bytes()),
        AMQPValue::Timestamp(seconds) => HeaderValue::Timestamp(*seconds),
        AMQPValue::ByteArray(bytes) => HeaderValue::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth >= DEPTH_MAX => {
            HeaderValue::Void
        }
        AMQPValue::FieldArray(list) => HeaderValue::List(
            list.as_slice().iter().map(|value| header_value(value, depth + 1)).collect(),
        ),
        AMQPValue::FieldTable(inner) => HeaderValue::Table(table(inner, depth + 1)),
        AMQPValue::Void => HeaderValue::Void,
    }
}

/// Numbers that JSON cannot hold are kept as text, so that what is stored can be read again.
pub(super) fn float(number: f64) -> HeaderValue {
    if number.is_finite() {
        HeaderValue::Float(number)
    } else {
        HeaderValue::Text(number.to_string())
    }
}

/// A long string is text, if it can be.
pub(super) fn long_string(bytes: &[u8]) -> HeaderValue {
    match str::from_utf8(bytes) {
        Ok(text) => HeaderValue::Text(text.to_owned()),
        Err(_) => HeaderValue::Bytes(bytes.to_vec()),
    }
}

/// Addresses a message of the outbox.
pub(super) fn envelope(topology: &Topology, message: &Outgoing) -> Envelope {
    let id = message.message_id.to_string();
    let mut headers = Headers::default();
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_app_id("tieline".into())
        .with_message_id(short(&id));
    let xml = "application/xml";
    let (exchange, routing_key, properties) = match &message.what {
        What::Location { request, sync_request, service_point, kind: _ } => {
            headers.set(header::REQUEST, request);
            headers.set(header::SYNC_REQUEST, sync_request);
            headers.set(header::SERVICE_POINT, service_point);
            let properties = properties
                .with_content_type(xml.into())
                .with_type("asset-location".into())
                .with_correlation_id(short(&id))
                .with_reply_to(short(topology.queue(Role::Answer)));
            (topology.exchange_out(), topology.queue(Role::Location).to_owned(), properties)
        }
        What::Reply { request, sync_request, service_point, correlation, outcome } => {
            headers.set(header::REQUEST, request);
            headers.set(header::SYNC_REQUEST, sync_request);
            headers.set_some(header::SERVICE_POINT, service_point.as_ref());
            headers.set(header::OUTCOME, outcome);
            let properties = properties
                .with_content_type(xml.into())
                .with_type("sync-ack".into())
                .with_correlation_id(short(correlation));
            (topology.exchange_out(), topology.queue(Role::Reply).to_owned(), properties)
        }
        What::Note { error, code, leg, request, sync_request, service_point, content_type } => {
            headers.set(header::ERROR, error);
            headers.set(header::CODE, code);
            headers.set(header::LEG, &leg.as_str());
            headers.set_some(header::REQUEST, request.as_ref());
            headers.set_some(header::SYNC_REQUEST, sync_request.as_ref());
            headers.set_some(header::SERVICE_POINT, service_point.as_ref());
            let properties = properties.with_type("error-note".into());
            let properties = match content_type {
                Some(content_type) => properties.with_content_type(short(content_type)),
                None => properties,
            };
            let routing_key = format!("{}.{code}", leg.as_str());
            (topology.exchange_errors(), routing_key, properties)
        }
    };
    headers.set_some(header::TRACEPARENT, message.trace.as_ref());
    let properties = properties.with_headers(headers.table);
    Envelope { exchange: exchange.to_owned(), routing_key, properties }
}

/// Properties for the broker, as given; `x-*` headers stay behind.
pub(super) fn basic_properties(properties: &Properties) -> BasicProperties {
    let mut raw = BasicProperties::default();
    macro_rules! texts {
        ($($field:ident $with:ident),*) => {
            $(if let Some(text) = &properties.$field { raw = raw.$with(short(text)); })*
        };
    }
    texts!(
        content_type with_content_type, content_encoding with_content_encoding,
        correlation_id with_correlation_id, reply_to with_reply_to, expiration with_expiration,
        message_id with_message_id, kind with_type, user_id with_user_id, app_id with_app_id
    );
    if let Some(mode) = properties.delivery_mode {
        raw = raw.with_delivery_mode(mode);
    }
    if let Some(priority) = properties.priority {
        raw = raw.with_priority(priority);
    }
    if let Some(seconds) = properties.timestamp {
        raw = raw.with_timestamp(seconds);
    }
    let headers = field_table(&properties.headers);
    if headers.inner().is_empty() { raw } else { raw.with_headers(headers) }
}

fn field_table(headers: &[(String, HeaderValue)]) -> FieldTable {
    let mut raw = FieldTable::default();
    for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with("x-")) {
        raw.insert(short(name), field_value(value));
    }
    raw
}

fn field_value(value: &HeaderValue) -> AMQPValue {
    match value {
        HeaderValue::Void => AMQPValue::Void,
        HeaderValue::Bool(flag) => AMQPValue::Boolean(*flag),
        HeaderValue::Integer(number) => AMQPValue::LongLongInt(*number),
        HeaderValue::Float(number) => AMQPValue::Double(*number),
        HeaderValue::Decimal(scale, value) => {
            AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: *value })
        }
        HeaderValue::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        HeaderValue::Text(text) => AMQPValue::LongString(text.as_str().into()),
        HeaderValue::Bytes(bytes) => AMQPValue::LongString(bytes.as_slice().into()),
        HeaderValue::List(list) => {
            AMQPValue::FieldArray(list.iter().map(field_value).collect::<Vec<_>>().into())
        }
        HeaderValue::Table(inner) => AMQPValue::FieldTable(field_table(inner)),
    }
}

/// A short string, cut to what fits one.
pub(super) fn short(text: &str) -> ShortString {
    cut(text, SHORT_BYTES_MAX).into()
}

/// The longest beginning of a text that takes at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Headers within their budget.
#[derive(Default)]
struct Headers {
    table: FieldTable,
    bytes: usize,
}

impl Headers {
    /// Adds a header as a long string, cut to its limit; what exceeds the whole budget is left out.
    fn set(&mut self, name: &'static str, value: &impl ToString) {
        let value = value.to_string();
        let value = cut(&value, HEADER_BYTES_MAX);
        let bytes = self.bytes + name.len() + value.len();
        if bytes <= HEADERS_BYTES_MAX {
            self.bytes = bytes;
            self.table.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    }

    fn set_some(&mut self, name: &'static str, value: Option<&impl ToString>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::{collection, option};

    use super::*;
    use crate::domain::{ErrorId, FailureCode, Leg, RequestId, SyncRequestId};

    fn request() -> RequestId {
        "5e0fd2a0-0000-5000-8000-00000000ab00".parse().unwrap()
    }

    fn text(envelope: &Envelope, name: &str) -> Option<String> {
        let headers = envelope.properties.headers().as_ref().unwrap();
        match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => Some(text.to_string()),
            Some(other) => panic!("{name} is no long string: {other:?}"),
            None => None,
        }
    }

    #[test]
    fn a_reply_carries_the_correlation_of_the_request_within_its_budget() {
        let message = Outgoing {
            message_id: request().reply(1),
            payload: b"<ack/>".to_vec(),
            what: What::Reply {
                request: request(),
                sync_request: SyncRequestId::new("85810617092033").unwrap(),
                service_point: None,
                correlation: "é".repeat(200),
                outcome: "ü".repeat(2000),
            },
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        };
        let envelope = envelope(&Topology::built_in(), &message);
        assert_eq!(
            (envelope.exchange.as_str(), envelope.routing_key.as_str()),
            ("tieline.out", "ccb.sp.ack")
        );
        let correlation = envelope.properties.correlation_id().as_ref().unwrap();
        assert_eq!(correlation.as_str(), "é".repeat(127));
        assert_eq!(text(&envelope, "tieline-outcome").unwrap(), "ü".repeat(512));
        assert_eq!(text(&envelope, "tieline-sync-request").unwrap(), "85810617092033");
        assert!(text(&envelope, "traceparent").unwrap().starts_with("00-4bf9"));
        assert_eq!(envelope.properties.timestamp(), &None);
    }

    #[test]
    fn a_note_goes_to_its_leg_with_code_and_the_original_content_type() {
        let message = Outgoing {
            message_id: crate::domain::MessageId::note(ErrorId(7), 1),
            payload: b"?".to_vec(),
            what: What::Note {
                error: ErrorId(7),
                code: FailureCode::AnswerOrphaned,
                leg: Leg::Answer,
                request: None,
                sync_request: None,
                service_point: None,
                content_type: Some("text/plain".into()),
            },
            trace: None,
        };
        let envelope = envelope(&Topology::built_in(), &message);
        assert_eq!(
            (envelope.exchange.as_str(), envelope.routing_key.as_str()),
            ("tieline.errors", "answer.TL4003")
        );
        assert_eq!(text(&envelope, "tieline-error").unwrap(), "E-7");
        assert_eq!(text(&envelope, "tieline-request"), None);
        assert_eq!(envelope.properties.content_type().as_ref().unwrap().as_str(), "text/plain");
    }

    #[test]
    fn properties_survive_the_way_out_and_in_but_for_the_brokers_own_headers() {
        let sent = Properties {
            content_type: Some("application/xml".into()),
            headers: vec![
                ("bytes".into(), HeaderValue::Bytes(vec![0xff, 0])),
                ("list".into(), HeaderValue::List(vec![HeaderValue::Void])),
                ("number".into(), HeaderValue::Integer(-5)),
                ("table".into(), HeaderValue::Table(vec![("in".into(), HeaderValue::Bool(true))])),
                ("x-death".into(), HeaderValue::Text("not ours to send".into())),
            ],
            delivery_mode: Some(1),
            timestamp: Some(u64::MAX),
            user_id: Some("guest".into()),
            ..Properties::default()
        };
        let received = properties(&basic_properties(&sent));
        let kept = sent.headers[..4].to_vec();
        assert_eq!(received, Properties { headers: kept, ..sent });
    }

    #[test]
    fn a_header_nested_without_end_is_cut_off() {
        let mut value = AMQPValue::Void;
        for _ in 0..1000 {
            value = AMQPValue::FieldArray(vec![value].into());
        }
        let mut depth = 0;
        let mut value = header_value(&value, 0);
        while let HeaderValue::List(mut list) = value {
            value = list.remove(0);
            depth += 1;
        }
        assert_eq!((depth, value), (DEPTH_MAX, HeaderValue::Void));
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_kept_as_text() {
        let value = header_value(&AMQPValue::Double(f64::NAN), 0);
        assert_eq!(value, HeaderValue::Text("NaN".into()));
    }

    #[test]
    fn what_is_nested_as_deep_as_it_is_kept_can_be_read_again() {
        let nests: [fn(AMQPValue) -> AMQPValue; 2] = [
            |inner| AMQPValue::FieldArray(vec![inner].into()),
            |inner| {
                let mut table = FieldTable::default();
                table.insert("in".into(), inner);
                AMQPValue::FieldTable(table)
            },
        ];
        for nest in nests {
            let deep = (0..100).fold(AMQPValue::Void, |inner, _| nest(inner));
            let headers = vec![("deep".to_owned(), header_value(&deep, 0))];
            let kept = Properties { headers, ..Properties::default() };
            let written = serde_json::to_string(&kept).unwrap();
            assert_eq!(serde_json::from_str::<Properties>(&written).unwrap(), kept);
        }
    }

    /// Any header value that comes back as it was: not bytes that are text, which come back as such.
    fn any_value() -> impl Strategy<Value = HeaderValue> {
        let leaf = prop_oneof![
            Just(HeaderValue::Void),
            any::<bool>().prop_map(HeaderValue::Bool),
            any::<i64>().prop_map(HeaderValue::Integer),
            proptest::num::f64::NORMAL.prop_map(HeaderValue::Float),
            any::<(u8, u32)>().prop_map(|(scale, value)| HeaderValue::Decimal(scale, value)),
            any::<u64>().prop_map(HeaderValue::Timestamp),
            any::<String>().prop_map(HeaderValue::Text),
            any::<Vec<u8>>().prop_map(|rest| HeaderValue::Bytes([&[0xFF], &rest[..]].concat())),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                collection::vec(inner.clone(), 0..5).prop_map(HeaderValue::List),
                any_table(inner).prop_map(HeaderValue::Table),
            ]
        })
    }

    /// Any table: its names are sorted, as the wire's are, and none is the broker's own.
    fn any_table(
        value: impl Strategy<Value = HeaderValue>,
    ) -> impl Strategy<Value = Vec<(String, HeaderValue)>> {
        let table = collection::btree_map("[^x]{1,60}", value, 0..5);
        table.prop_map(|table| table.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_kept_survives_the_store_and_the_wire(
            headers in any_table(any_value()),
            texts in collection::vec(option::of("\\PC{0,60}"), 4),
            numbers in any::<(Option<u8>, Option<u8>, Option<u64>)>(),
        ) {
            let [content_type, correlation_id, message_id, kind] = texts.try_into().unwrap();
            let (delivery_mode, priority, timestamp) = numbers;
            let texts = Properties { content_type, correlation_id, message_id, kind, ..Properties::default() };
            let kept = Properties { headers, delivery_mode, priority, timestamp, ..texts };
            let written = serde_json::to_string(&kept).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Properties>(&written).unwrap(), &kept);
            prop_assert_eq!(properties(&basic_properties(&kept)), kept);
        }
    }
}
