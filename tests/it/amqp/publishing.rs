//! Publishing: confirmed or accounted for, never assumed.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use tieline::bridge::message::{Outgoing, What};
use tieline::bridge::ports::{Leased, Publisher as _};
use tieline::bridge::{HeaderValue, Lane};
use tieline::domain::{FailureCode, RequestId, ServicePointId, SubjectKind, SyncRequestId};

use super::bench;
use super::bench::{Api, consume, endpoint, has_rabbitmq, message, node, publisher, site};

#[tokio::test]
async fn what_the_broker_confirms_is_on_the_queue() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("confirm").await;
    let publisher = publisher(&endpoint, Lane::Location);
    publisher.open().await.unwrap();
    publisher.probe().await.unwrap();
    let messages: Vec<_> =
        (0..500).map(|n| message("wam.location.request", &format!("m{n}"))).collect();
    let results = publisher.publish_raw(&messages).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test]
async fn in_a_busy_window_exactly_the_unroutable_messages_are_told() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("unroutable").await;
    let publisher = publisher(&endpoint, Lane::Location);
    for round in 0..20 {
        let messages: Vec<_> = (0..200)
            .map(|n| {
                let queue = if n % 7 == 3 { "nowhere" } else { "wam.location.request" };
                let mut message = message(queue, &format!("{round}-{n}"));
                // Transient messages are confirmed at once and out of step with persistent ones.
                message.properties.delivery_mode = Some(1 + u8::from(n % 2 == 0));
                message
            })
            .collect();
        let results = publisher.publish_raw(&messages).await;
        for (n, result) in results.iter().enumerate() {
            match result {
                Ok(()) => assert_ne!(n % 7, 3, "round {round}, message {n}"),
                Err(failure) => {
                    assert_eq!(n % 7, 3, "round {round}, message {n}: {failure:?}");
                    assert_eq!(failure.code, FailureCode::LocationUnroutable);
                }
            }
        }
    }
}

fn location() -> Leased {
    let request: RequestId = "5e0fd2a0-0000-5000-8000-000000000000".parse().unwrap();
    let message = Outgoing {
        message_id: request.location(1),
        payload: b"<W1-SyncRequestInbound/>".to_vec(),
        what: What::Location {
            request,
            sync_request: SyncRequestId::new("85810617092033").unwrap(),
            service_point: ServicePointId::new("5551234567").unwrap(),
            kind: SubjectKind::Metered,
        },
        trace: None,
    };
    Leased { place: 1, message }
}

#[tokio::test]
async fn an_asset_location_arrives_with_everything_that_an_answer_needs() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("location").await;
    let publisher = publisher(&endpoint, Lane::Location);
    assert_eq!(publisher.publish(&[location(), location()]).await, [Ok(()), Ok(())]);
    let mut assets = consume(&endpoint, "wam.location.request", &[]);
    let arrival = assets.next_arrivals().await.remove(0);
    let id = Some("5e0fd2a0-0000-5000-8000-000000000001");
    let got = &arrival.properties;
    assert_eq!((got.message_id.as_deref(), got.correlation_id.as_deref()), (id, id));
    assert_eq!(got.reply_to.as_deref(), Some("wam.location.ack"));
    assert_eq!(got.content_type.as_deref(), Some("application/xml"));
    assert_eq!(got.kind.as_deref(), Some("asset-location"));
    assert_eq!((got.delivery_mode, got.timestamp), (Some(2), None));
    let text = |text: &str| HeaderValue::Text(text.to_owned());
    let headers = [
        ("tieline-request".to_owned(), text("5e0fd2a0-0000-5000-8000-000000000000")),
        ("tieline-service-point".to_owned(), text("5551234567")),
        ("tieline-sync-request".to_owned(), text("85810617092033")),
    ];
    assert_eq!(got.headers, headers);
    assert_eq!(arrival.payload, b"<W1-SyncRequestInbound/>");
    assets.stop().await;
}

#[tokio::test]
async fn a_lane_without_its_queue_or_exchange_says_what_is_missing() {
    if !has_rabbitmq() {
        return;
    }
    let (vhost, endpoint) = site("no-queue").await;
    Api::new().delete(&["queues", &vhost.name, "wam.location.request"]).await;
    let publisher = publisher(&endpoint, Lane::Location);
    publisher.open().await.unwrap();
    let failures = [
        publisher.probe().await.unwrap_err(),
        publisher.publish(&[location()]).await.remove(0).unwrap_err(),
    ];
    for failure in failures {
        assert_eq!(failure.code, FailureCode::LocationUnroutable);
        assert!(failure.detail.contains("wam.location.request"), "{}", failure.detail);
        assert!(failure.detail.contains("tieline queues declare"), "{}", failure.detail);
    }
    let bare = node().vhost("no-exchange").unwrap();
    let billing = bench::publisher(&bench::endpoint(&bare.url), Lane::Reply);
    let failure = billing.open().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::ReplyUnroutable);
    assert!(failure.detail.contains("no exchange 'tieline.out' in vhost 'no-exchange'"));
}

#[tokio::test]
async fn a_broker_that_cannot_be_had_is_told_in_a_sentence_without_the_password() {
    if !has_rabbitmq() {
        return;
    }
    let url = node().vhost("sentences").unwrap().url;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (url.replace("guest:guest", "guest:s3cret"), "refuses user 'guest' or its password"),
        (url.replace("sentences", "nowhere"), "virtual host 'nowhere' does not exist"),
        (format!("amqp://guest:s3cret@{closed}/v"), "nothing listens on 127.0.0.1:"),
        (url.replace("amqp://", "amqps://"), "TLS: "),
    ];
    for (url, expected) in cases {
        let failure = publisher(&endpoint(&url), Lane::Reply).open().await.unwrap_err();
        assert_eq!(failure.code, FailureCode::BillingUnreachable);
        assert!(failure.detail.contains(expected), "{}", failure.detail);
        assert!(!failure.detail.contains("s3cret"), "{}", failure.detail);
    }
}

/// lapin waits for such a peer on a thread of its own, for ever.
#[tokio::test]
async fn a_mute_peer_is_left_in_time_and_its_socket_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://guest:guest@{}/v", listener.local_addr().unwrap());
    let endpoint = endpoint(&url).with_connect_timeout(Duration::from_millis(300));
    let failure = publisher(&endpoint, Lane::Location).open().await.unwrap_err();
    assert!(failure.detail.contains("no answer within 0.3 s"), "{}", failure.detail);
    let (mut peer, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"AMQP\0\0\x09\x01");
}
