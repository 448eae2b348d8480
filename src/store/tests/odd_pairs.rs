//! Events that meet a request in a state where nobody expects them.

use jiff::SignedDuration;

use super::world::{
    World, answer_naming, answer_to, away, refused, request, requests_of, retry, untranslatable,
};
use crate::bridge::ports::{Handover, Lane, Ordered, Recorded, Settled, Store as _};
use crate::domain::{ErrorStatus, Ignored, Refused, Verdict};

#[tokio::test]
async fn an_answer_may_overtake_the_confirm() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let leased = world.lease(Lane::Location).await;
    world.answer(answer_to(new.id.location(1), Verdict::Positive)).await;
    assert_eq!(world.state(new.id).await, "applied");
    for late in [Handover::Confirmed, Handover::Interrupted, Handover::Failed(refused())] {
        world.finish(Lane::Location, &leased, &late).await;
        assert_eq!(world.state(new.id).await, "applied");
    }
    world.check();
}

#[tokio::test]
async fn an_answer_settles_what_was_parked_in_doubt() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let leased = world.lease(Lane::Location).await;
    world.finish(Lane::Location, &leased, &Handover::Interrupted).await;
    world.store().park(Lane::Location, &away(), 10).await.unwrap();
    world.answer(answer_to(new.id.location(1), Verdict::Positive)).await;
    assert_eq!(world.state(new.id).await, "applied");
    assert_eq!(world.error_of(new.id).await.status, ErrorStatus::Resolved);
    assert_eq!(world.replies(new.id).await, ["parked", "applied"]);
    world.check();
}

#[tokio::test]
async fn a_redelivered_answer_changes_nothing() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    let (no, yes) =
        (answer_naming("1001", Verdict::Negative), answer_naming("1001", Verdict::Positive));
    world.answer(no.clone()).await;
    world.answer(yes.clone()).await;
    for repeat in [no, yes] {
        let settled = world.answer(repeat).await;
        let ignored = Settled::Ignored { request: new.id, why: Ignored::AlreadySettled };
        assert_eq!(settled, ignored);
    }
    assert!(world.errors_open().await.is_empty());
    world.check();
}

#[tokio::test]
async fn a_late_outcome_of_an_older_attempt_does_not_touch_the_newer() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let first = world.lease(Lane::Location).await;
    world.clock.wait(SignedDuration::from_secs(61));
    let again = world.lease(Lane::Location).await;
    assert_eq!(first[0].message, again[0].message, "a lease that ran out is given again");
    world.finish(Lane::Location, &again, &Handover::Interrupted).await;
    world.store().park(Lane::Location, &away(), 10).await.unwrap();
    let error = world.error_of(new.id).await.id;
    assert_eq!(world.order(retry(error, &new)).await, Ordered::Done);

    world.finish(Lane::Location, &first, &Handover::Confirmed).await;
    assert_eq!(world.state(new.id).await, "pending");
    let edition = world.publish(Lane::Location).await;
    assert_eq!(edition[0].message.message_id, new.id.location(2));
    world.answer(answer_to(new.id.location(1), Verdict::Positive)).await;
    assert_eq!(world.state(new.id).await, "applied", "the older edition arrived after all");
    world.check();
}

#[tokio::test]
async fn a_newer_request_overtakes_one_that_is_not_in_flight() {
    let world = World::new();
    let (old, new) = (request("1001", "SP-1", 1), request("1002", "SP-1", 2));
    world.record(old.clone()).await;
    let recorded = world.record(new.clone()).await;
    let superseded = vec![old.id];
    assert_eq!(recorded, Recorded::New { state: "pending", error: None, superseded });
    assert_eq!(world.replies(old.id).await, ["superseded"]);
    assert_eq!(requests_of(&world.lease(Lane::Location).await), [new.id]);
    world.check();
}

#[tokio::test]
async fn a_newer_request_waits_for_one_in_flight_and_overtakes_it_when_that_fails() {
    let world = World::new();
    let (old, new) = (request("1001", "SP-1", 1), request("1002", "SP-1", 2));
    for outcome in [Handover::Interrupted, Handover::Failed(refused())] {
        let world = World::new();
        world.record(old.clone()).await;
        let leased = world.lease(Lane::Location).await;
        let recorded = world.record(new.clone()).await;
        assert!(matches!(recorded, Recorded::New { state: "waiting", .. }));
        world.finish(Lane::Location, &leased, &outcome).await;
        assert_eq!(world.state(old.id).await, "superseded");
        assert_eq!(requests_of(&world.lease(Lane::Location).await), [new.id]);
        world.check();
    }
    world.check();
}

#[tokio::test]
async fn an_older_request_may_not_go_between_newer_ones() {
    let world = World::new();
    world.record(request("1002", "SP-1", 2)).await;
    world.publish(Lane::Location).await;
    let old = request("1001", "SP-1", 1);
    assert!(matches!(world.record(old).await, Recorded::New { state: "superseded", .. }));
    let newest = request("1003", "SP-1", 3);
    assert!(matches!(world.record(newest).await, Recorded::New { state: "waiting", .. }));
    world.check();
}

#[tokio::test]
async fn a_retry_of_what_a_newer_one_overtook_is_refused() {
    let world = World::new();
    let (old, new) = (request("1001", "SP-1", 1), request("1002", "SP-1", 2));
    world.record(old.clone()).await;
    world.store().park(Lane::Location, &away(), 10).await.unwrap();
    let error = world.error_of(old.id).await.id;
    world.record(new.clone()).await;
    assert_eq!(world.state(old.id).await, "superseded");
    let refused = Ordered::Refused(Refused::Superseded { by: new.id });
    assert_eq!(world.order(retry(error, &old)).await, refused);
    world.check();
}

#[tokio::test]
async fn a_retry_is_refused_when_something_newer_went_through_unnoticed() {
    let world = World::new();
    let (old, new) = (untranslatable("1001", "SP-1", 1), request("1002", "SP-1", 2));
    world.record(new.clone()).await;
    world.record(old.clone()).await;
    assert_eq!(world.state(old.id).await, "parked");
    let error = world.error_of(old.id).await.id;
    let refused = Ordered::Refused(Refused::Superseded { by: new.id });
    assert_eq!(world.order(retry(error, &old)).await, refused);
    assert_eq!(world.state(old.id).await, "parked");
    world.check();
}

#[tokio::test]
async fn a_resend_revives_what_translates_by_now() {
    let world = World::new();
    let bad = untranslatable("1001", "SP-1", 1);
    world.record(bad.clone()).await;
    let good = crate::bridge::ports::NewRequest {
        translation: Ok(super::world::translation("mended")),
        ..bad.clone()
    };
    let known = world.record(good.clone()).await;
    assert_eq!(known, Recorded::Known { state: "pending", repeated: false, revived: true });
    assert_eq!(world.error_of(bad.id).await.status, ErrorStatus::Retrying);
    let leased = world.publish(Lane::Location).await;
    assert_eq!(leased[0].message.payload, b"mended");
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(world.error_of(bad.id).await.status, ErrorStatus::Resolved);
    assert_eq!(world.replies(bad.id).await, ["parked", "applied"]);
    world.check();
}

#[tokio::test]
async fn a_resend_may_be_too_late_to_be_revived() {
    let world = World::new();
    let bad = untranslatable("1001", "SP-1", 1);
    world.record(bad.clone()).await;
    world.record(untranslatable("1000", "SP-1", 1)).await;
    world.record(request("1002", "SP-1", 2)).await;
    assert_eq!(world.state(bad.id).await, "superseded");
    let known = world.record(request_that_translates(&bad)).await;
    assert!(matches!(known, Recorded::Known { state: "superseded", revived: false, .. }));
    world.check();
}

fn request_that_translates(
    bad: &crate::bridge::ports::NewRequest,
) -> crate::bridge::ports::NewRequest {
    crate::bridge::ports::NewRequest {
        translation: Ok(super::world::translation("mended")),
        ..bad.clone()
    }
}

#[tokio::test]
async fn a_retry_waits_for_its_turn_behind_an_older_one() {
    let world = World::new();
    let (old, new) = (request("1001", "SP-1", 1), untranslatable("1002", "SP-1", 2));
    world.record(old.clone()).await;
    world.publish(Lane::Location).await;
    world.record(new.clone()).await;
    let error = world.error_of(new.id).await.id;
    assert_eq!(world.order(retry(error, &new)).await, Ordered::Done);
    assert_eq!(world.state(new.id).await, "waiting");
    assert_eq!(world.status_of(error).await, ErrorStatus::Retrying);
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(requests_of(&world.lease(Lane::Location).await), [new.id]);
    world.check();
}

#[tokio::test]
async fn a_corrected_resend_for_another_service_point_waits_for_the_first() {
    let world = World::new();
    let (old, new) = (request("1001", "SP-1", 1), request("1001", "SP-2", 1));
    world.record(old.clone()).await;
    world.publish(Lane::Location).await;
    let recorded = world.record(new.clone()).await;
    assert!(matches!(recorded, Recorded::New { state: "waiting", .. }));
    world.answer(answer_to(old.id.location(1), Verdict::Positive)).await;
    assert_eq!(requests_of(&world.lease(Lane::Location).await), [new.id]);
    world.check();
}

#[tokio::test]
async fn an_answer_with_an_unknown_message_id_is_matched_by_its_body() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    let mut answer = answer_naming("1001", Verdict::Positive);
    let stranger = request("7777", "SP-7", 1).id.location(1);
    answer.read.as_mut().unwrap().reference.message = Some(stranger);
    let settled = world.answer(answer).await;
    assert!(matches!(settled, Settled::Moved { request, .. } if request == new.id));
    world.check();
}
