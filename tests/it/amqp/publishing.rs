//! Publishing: confirmed or accounted for, never assumed.

use tieline::bridge::Lane;
use tieline::bridge::ports::Publisher as _;
use tieline::domain::FailureCode;

use super::bench::{has_rabbitmq, message, publisher, site};

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
