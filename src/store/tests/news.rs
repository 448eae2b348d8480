//! Lanes hear of what is due, and of nothing else.

use futures_util::FutureExt as _;

use super::world::{World, answer_to, refused, request, request_saying, untranslatable};
use crate::bridge::ports::{Handover, Lane, Store as _};
use crate::domain::Verdict;

/// The lanes that have news since they were asked last.
fn news(world: &World) -> Vec<Lane> {
    let lanes = [Lane::Location, Lane::Reply, Lane::Note];
    let has = |lane: &Lane| world.store().news(*lane).notified().now_or_never().is_some();
    lanes.into_iter().filter(has).collect()
}

#[tokio::test]
async fn what_is_put_is_news_for_its_lane_alone() {
    let world = World::new();
    assert_eq!(news(&world), []);
    world.record(request("1001", "SP-1", 1)).await;
    assert_eq!(news(&world), [Lane::Location]);
    world.record(untranslatable("1002", "SP-2", 1)).await;
    assert_eq!(news(&world), [Lane::Reply, Lane::Note]);
    let leased = world.lease(Lane::Location).await;
    assert_eq!(news(&world), [], "a lease is no news");
    world.finish(Lane::Location, &leased, &Handover::Confirmed).await;
    assert_eq!(news(&world), [], "nor is its end");
    world.answer(answer_to(leased[0].message.message_id, Verdict::Positive)).await;
    assert_eq!(news(&world), [Lane::Reply]);
}

#[tokio::test]
async fn what_is_given_back_is_news_unless_it_has_to_wait() {
    let world = World::new();
    world.record(request("1001", "SP-1", 1)).await;
    let leased = world.lease(Lane::Location).await;
    news(&world);
    world.finish(Lane::Location, &leased, &Handover::Interrupted).await;
    assert_eq!(news(&world), [Lane::Location]);
    let leased = world.lease(Lane::Location).await;
    world.finish(Lane::Location, &leased, &Handover::Failed(refused())).await;
    assert_eq!(news(&world), [], "it is tried again in a second");
}

#[tokio::test]
async fn a_request_that_waited_is_news_when_its_turn_comes() {
    let world = World::new();
    world.record(request("1001", "SP-1", 1)).await;
    let leased = world.publish(Lane::Location).await;
    world.record(request("1002", "SP-1", 2)).await;
    news(&world);
    world.answer(answer_to(leased[0].message.message_id, Verdict::Positive)).await;
    assert_eq!(news(&world), [Lane::Location, Lane::Reply]);
}

#[tokio::test]
async fn a_reply_that_was_held_back_is_news_when_the_earlier_one_is_gone() {
    let world = World::new();
    world.record(untranslatable("1001", "SP-1", 1)).await;
    world.record(request_saying("1001", "SP-1", 2, "corrected")).await;
    let leased = world.publish(Lane::Location).await;
    world.answer(answer_to(leased[0].message.message_id, Verdict::Positive)).await;
    let earlier = world.lease(Lane::Reply).await;
    assert_eq!(earlier.len(), 1, "the later one waits for it");
    news(&world);
    world.finish(Lane::Reply, &earlier, &Handover::Confirmed).await;
    assert_eq!(news(&world), [Lane::Reply]);
    assert_eq!(world.publish(Lane::Reply).await.len(), 1);
    assert_eq!(news(&world), []);
}
