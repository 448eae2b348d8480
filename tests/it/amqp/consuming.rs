//! Consuming: settled once durable, given back otherwise, in order.

use super::bench::{consume, fill, has_rabbitmq, names, site};

#[tokio::test]
async fn deliveries_are_handed_over_in_order_and_settled() {
    if !has_rabbitmq() {
        return;
    }
    let (_, endpoint) = site("order").await;
    fill(&endpoint, "ccb.sp.request", "m", 100).await;
    let mut consumer = consume(&endpoint, "ccb.sp.request", &[]);
    assert_eq!(consumer.next(100).await, names("m", 0..100));
    consumer.stop().await;
    // Nothing comes again before what is published now.
    fill(&endpoint, "ccb.sp.request", "later", 1).await;
    let mut consumer = consume(&endpoint, "ccb.sp.request", &[]);
    assert_eq!(consumer.next_batch().await, ["later0"]);
    consumer.stop().await;
}
