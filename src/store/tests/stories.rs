//! What happens to a request: each row of the product's table, as one story.

use super::world::{World, answer_to, request};
use crate::bridge::message::What;
use crate::bridge::ports::{Handover, Lane, Recorded, Settled};
use crate::domain::Verdict;

#[tokio::test]
async fn a_good_request_is_published_answered_and_replied_once() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    let recorded = world.record(new.clone()).await;
    assert_eq!(recorded, Recorded::New { state: "pending", error: None, superseded: vec![] });

    let leased = world.lease(Lane::Location).await;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].message.message_id, new.id.location(1));
    assert_eq!(leased[0].message.payload, b"1001/1");
    assert!(world.lease(Lane::Location).await.is_empty(), "a lease is given once");
    world.finish(Lane::Location, &leased, &Handover::Confirmed).await;
    assert_eq!(world.state(new.id).await, "published");

    let settled = world.answer(answer_to(leased[0].message.message_id, Verdict::Positive)).await;
    assert!(matches!(settled, Settled::Moved { state: "applied", .. }), "{settled:?}");

    let replies = world.publish(Lane::Reply).await;
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].message.payload, b"1001 applied");
    assert_eq!(replies[0].message.message_id, new.id.reply(1));
    let What::Reply { correlation, outcome, .. } = &replies[0].message.what else { panic!() };
    assert_eq!((correlation.as_str(), outcome.as_str()), ("m-1001", "applied"));
    assert!(world.publish(Lane::Reply).await.is_empty());
    assert_eq!(
        world.kinds(new.id).await,
        ["received", "translated", "published", "applied", "replied", "delivered"]
    );
    world.check();
}
