//! What happens to a request: each row of the product's table, as a story.

use jiff::SignedDuration;

use super::world::{
    TRIES_MAX, World, answer_naming, answer_to, away, refused, request, request_saying,
    requests_of, untranslatable,
};
use crate::bridge::message::What;
use crate::bridge::ports::{Handover, Lane, Recorded, Settled, Store as _};
use crate::domain::{ErrorStatus, Failure, FailureCode, Leg, MessageId, SubjectKind, Verdict};

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
        ["received", "translated", "confirmed", "answered", "reply-made", "replied"]
    );
    world.check();
}

#[tokio::test]
async fn a_negative_answer_is_replied_and_needs_no_operator() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    world.answer(answer_naming("1001", Verdict::Negative)).await;
    assert_eq!(world.state(new.id).await, "rejected");
    assert_eq!(world.replies(new.id).await, ["rejected"]);
    assert!(world.errors_open().await.is_empty());
    world.check();
}

#[tokio::test]
async fn what_does_not_translate_is_parked_with_every_defect_and_replied_at_once() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    let recorded = world.record(new.clone()).await;
    assert!(matches!(recorded, Recorded::New { state: "parked", error: Some(_), .. }));

    let error = world.error_of(new.id).await;
    assert_eq!(error.failure, new.translation.unwrap_err());
    assert_eq!(error.group.to_string(), "TL2002:location/nodeType");
    assert_eq!((error.status, error.failures), (ErrorStatus::Open, 1));
    assert_eq!(world.replies(new.id).await, ["parked"]);
    assert!(world.lease(Lane::Location).await.is_empty());

    let notes = world.publish(Lane::Note).await;
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].message.message_id, MessageId::note(error.id, 1));
    assert_eq!(notes[0].message.payload, new.arrival.payload);
    let What::Note { leg, code, content_type, .. } = &notes[0].message.what else { panic!() };
    assert_eq!((*leg, *code), (Leg::Request, FailureCode::UnmappedValue));
    assert_eq!(content_type.as_deref(), Some("text/xml"));
    world.check();
}

#[tokio::test]
async fn an_unreadable_request_without_an_id_is_parked_and_nobody_is_told() {
    let world = World::new();
    let new = crate::bridge::ports::NewRequest {
        sync_request: None,
        service_point: None,
        ..untranslatable("1001", "SP-1", 1)
    };
    world.record(new.clone()).await;
    assert_eq!(world.state(new.id).await, "parked");
    assert!(world.replies(new.id).await.is_empty());
    let again = world.record(new.clone()).await;
    assert_eq!(again, Recorded::Known { state: "parked", repeated: false, revived: false });
    world.check();
}

#[tokio::test]
async fn an_outage_counts_no_try_and_parks_only_when_it_is_long() {
    let world = World::new();
    let (one, two) = (request("1001", "SP-1", 1), request("1002", "SP-2", 1));
    world.record(one.clone()).await;
    for _ in 0..2 * TRIES_MAX {
        let leased = world.lease(Lane::Location).await;
        assert_eq!(leased[0].message.message_id, one.id.location(1));
        world.finish(Lane::Location, &leased, &Handover::Interrupted).await;
        assert_eq!(world.state(one.id).await, "pending");
    }
    let leased = world.lease(Lane::Location).await;
    world.record(two.clone()).await;
    assert_eq!(world.store().park(Lane::Location, &away(), 10).await.unwrap(), 1);
    assert_eq!(world.state(one.id).await, "pending", "what is leased is not parked");
    assert_eq!(world.state(two.id).await, "parked");
    assert_eq!(world.replies(two.id).await, ["parked"]);

    world.finish(Lane::Location, &leased, &Handover::Interrupted).await;
    assert_eq!(world.store().park(Lane::Location, &away(), 10).await.unwrap(), 1);
    assert_eq!(world.error_of(one.id).await.failure, away());
    let started = world.now();
    let parked = world.store().parked_by_outage(Lane::Location, started, 10).await.unwrap();
    assert_eq!(parked.len(), 2);
    world.check();
}

#[tokio::test]
async fn a_message_that_fails_by_itself_is_tried_again_later_and_then_parked() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    for delay in [1, 2] {
        let leased = world.lease(Lane::Location).await;
        world.finish(Lane::Location, &leased, &Handover::Failed(refused())).await;
        assert!(world.lease(Lane::Location).await.is_empty(), "not before its time");
        world.clock.wait(SignedDuration::from_secs(delay));
    }
    let leased = world.lease(Lane::Location).await;
    world.finish(Lane::Location, &leased, &Handover::Failed(refused())).await;
    assert_eq!(world.state(new.id).await, "parked");
    assert_eq!(world.error_of(new.id).await.failure, refused());
    let notes = world.publish(Lane::Note).await;
    let What::Note { leg, .. } = &notes[0].message.what else { panic!() };
    assert_eq!(*leg, Leg::Location);
    world.check();
}

#[tokio::test]
async fn a_clock_that_was_ahead_and_is_set_right_holds_nothing_back() {
    let world = World::new();
    world.clock.wait(SignedDuration::from_hours(24));
    world.record(request("1001", "SP-1", 1)).await;
    world.clock.wait(SignedDuration::from_hours(-24));
    let leased = world.publish(Lane::Location).await;
    assert_eq!(leased.len(), 1);
    // A wait of our own is none of that.
    world.record(request("1002", "SP-2", 1)).await;
    let leased = world.lease(Lane::Location).await;
    world.finish(Lane::Location, &leased, &Handover::Failed(refused())).await;
    assert!(world.lease(Lane::Location).await.is_empty(), "not before its time");
    world.check();
}

#[tokio::test]
async fn a_reply_that_billing_refuses_is_parked_without_touching_the_request() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    let failure = Failure::new(FailureCode::ReplyRefused, "the queue is full");
    for _ in 0..TRIES_MAX {
        let leased = world.lease(Lane::Reply).await;
        world.finish(Lane::Reply, &leased, &Handover::Failed(failure.clone())).await;
        world.clock.wait(SignedDuration::from_secs(60));
    }
    assert_eq!(world.state(new.id).await, "applied");
    assert_eq!(world.reply_views(new.id).await[0].state, "parked");
    let errors = world.errors_open().await;
    assert_eq!((errors.len(), &errors[0].failure), (1, &failure));
    let notes = world.publish(Lane::Note).await;
    assert_eq!(notes[0].message.payload, b"1001 applied");
    let What::Note { leg, .. } = &notes[0].message.what else { panic!() };
    assert_eq!(*leg, Leg::Reply);
    world.check();
}

#[tokio::test]
async fn a_long_outage_of_billing_parks_its_replies() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let failure = Failure::new(FailureCode::BillingUnreachable, "vhost billing is away");
    assert_eq!(world.store().park(Lane::Reply, &failure, 10).await.unwrap(), 1);
    assert_eq!(world.store().park(Lane::Note, &failure, 10).await.unwrap(), 0);
    let since = world.now();
    assert_eq!(world.store().parked_by_outage(Lane::Reply, since, 10).await.unwrap().len(), 1);
    world.check();
}

#[tokio::test]
async fn a_late_answer_settles_what_was_overdue() {
    let world = World::new();
    let (first, second) = (request("1001", "SP-1", 1), request("1002", "SP-1", 2));
    world.record(first.clone()).await;
    world.publish(Lane::Location).await;
    world.record(second.clone()).await;
    assert_eq!(world.state(second.id).await, "waiting");

    assert!(world.store().sweep(10).await.unwrap().overdue.is_empty());
    world.clock.wait(SignedDuration::from_mins(15));
    let swept = world.store().sweep(1).await.unwrap();
    assert_eq!(swept.overdue, [(first.id, first.sync_request.clone())]);
    assert!(world.replies(first.id).await.is_empty(), "nothing is invented");
    assert_eq!(world.state(second.id).await, "pending", "it no longer holds back the next");

    world.answer(answer_to(first.id.location(1), Verdict::Positive)).await;
    assert_eq!(world.state(first.id).await, "applied");
    assert_eq!(world.replies(first.id).await, ["applied"]);
    world.check();
}

#[tokio::test]
async fn an_identical_resend_gets_the_same_reply_again() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    let known = world.record(new.clone()).await;
    assert_eq!(known, Recorded::Known { state: "published", repeated: false, revived: false });
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    let known = world.record(new.clone()).await;
    assert!(matches!(known, Recorded::Known { repeated: false, .. }), "it is on its way");
    let first = world.publish(Lane::Reply).await;

    let known = world.record(new.clone()).await;
    assert_eq!(known, Recorded::Known { state: "applied", repeated: true, revived: false });
    let again = world.publish(Lane::Reply).await;
    assert_eq!(first[0].message, again[0].message);
    assert!(world.lease(Lane::Location).await.is_empty());
    assert_eq!(world.store().request(new.id).await.unwrap().unwrap().resends, 3);
    world.check();
}

#[tokio::test]
async fn a_corrected_resend_takes_the_place_of_the_parked_one() {
    let world = World::new();
    let wrong = untranslatable("1001", "SP-1", 1);
    let right = request_saying("1001", "SP-1", 1, "corrected");
    world.record(wrong.clone()).await;
    let recorded = world.record(right.clone()).await;
    let superseded = vec![wrong.id];
    assert_eq!(recorded, Recorded::New { state: "pending", error: None, superseded });
    assert_eq!(world.state(wrong.id).await, "superseded");
    assert_eq!(world.error_of(wrong.id).await.status, ErrorStatus::Resolved);
    assert_eq!(world.replies(wrong.id).await, ["parked"], "the newer one's answer is the answer");
    assert_eq!(requests_of(&world.publish(Lane::Location).await), [right.id]);
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(world.replies(right.id).await, ["applied"]);
    world.check();
}

#[tokio::test]
async fn the_older_content_of_a_corrected_request_is_not_answered() {
    let world = World::new();
    let (old, new) = (request("1001", "SP-1", 1), request_saying("1001", "SP-1", 1, "corrected"));
    world.record(old.clone()).await;
    world.publish(Lane::Location).await;
    world.record(new.clone()).await;
    world.answer(answer_to(old.id.location(1), Verdict::Negative)).await;
    assert_eq!(world.state(old.id).await, "rejected");
    assert!(world.replies(old.id).await.is_empty());
    assert_eq!(requests_of(&world.publish(Lane::Location).await), [new.id]);
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(world.replies(new.id).await, ["applied"]);

    world.publish(Lane::Reply).await;
    let known = world.record(old.clone()).await;
    assert!(matches!(known, Recorded::Known { repeated: true, .. }), "the newest answers for both");
    assert_eq!(world.lease(Lane::Reply).await[0].message.payload, b"1001 applied");
    world.check();
}

#[tokio::test]
async fn of_three_requests_for_one_service_point_the_newest_is_published_last() {
    let world = World::new();
    let all: Vec<_> =
        (1..=3).map(|version| request(&format!("100{version}"), "SP-1", version)).collect();
    world.record(all[0].clone()).await;
    world.publish(Lane::Location).await;
    world.record(all[1].clone()).await;
    let third = world.record(all[2].clone()).await;
    assert!(matches!(third, Recorded::New { state: "waiting", .. }));
    assert_eq!(world.state(all[1].id).await, "superseded");
    assert!(world.lease(Lane::Location).await.is_empty(), "one at a time");

    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(requests_of(&world.publish(Lane::Location).await), [all[2].id]);
    world.answer(answer_naming("1003", Verdict::Positive)).await;
    for (new, outcome) in all.iter().zip(["applied", "superseded", "applied"]) {
        assert_eq!(world.replies(new.id).await, [outcome], "one reply each");
    }
    world.check();
}

#[tokio::test]
async fn an_older_version_that_arrives_late_is_not_sent() {
    let world = World::new();
    world.record(request("1002", "SP-1", 2)).await;
    world.publish(Lane::Location).await;
    world.answer(answer_naming("1002", Verdict::Positive)).await;
    let old = request("1001", "SP-1", 1);
    let recorded = world.record(old.clone()).await;
    assert!(matches!(recorded, Recorded::New { state: "superseded", .. }));
    assert_eq!(world.replies(old.id).await, ["superseded"]);
    assert!(world.lease(Lane::Location).await.is_empty());
    world.check();
}

#[tokio::test]
async fn a_negative_answer_then_a_positive_one_are_both_replied() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    world.answer(answer_naming("1001", Verdict::Negative)).await;
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(world.state(new.id).await, "applied");
    assert_eq!(world.replies(new.id).await, ["rejected", "applied"]);

    let first = world.lease(Lane::Reply).await;
    assert_eq!(first.len(), 1, "the last one must stay the last one");
    world.finish(Lane::Reply, &first, &Handover::Confirmed).await;
    assert_eq!(world.lease(Lane::Reply).await[0].message.payload, b"1001 applied");
    world.check();
}

#[tokio::test]
async fn a_positive_answer_then_a_negative_one_is_a_contradiction() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    let settled = world.answer(answer_naming("1001", Verdict::Negative)).await;
    let Settled::Parked { error, failure, request } = settled else { panic!("{settled:?}") };
    assert_eq!((failure.code, request), (FailureCode::AnswerContradicts, Some(new.id)));
    let again = world.answer(answer_naming("1001", Verdict::Negative)).await;
    assert_eq!(again, Settled::ParkedBefore { error });
    assert_eq!(world.store().error(error).await.unwrap().unwrap().failures, 2);
    assert_eq!(world.replies(new.id).await, ["applied"]);
    world.check();
}

#[tokio::test]
async fn an_answer_to_nobody_and_a_spoofed_one_are_parked() {
    let world = World::new();
    let orphan = world.answer(answer_naming("9999", Verdict::Positive)).await;
    let Settled::Parked { failure, request: None, .. } = orphan else { panic!("{orphan:?}") };
    assert_eq!(failure.code, FailureCode::AnswerOrphaned);

    world.record(request("1001", "SP-1", 1)).await;
    let early = world.answer(answer_naming("1001", Verdict::Positive)).await;
    let Settled::Parked { failure, .. } = early else { panic!("{early:?}") };
    assert!(failure.detail.contains("never handed over"), "{}", failure.detail);

    let mut spoofed = answer_naming("1001", Verdict::Negative);
    spoofed.read = Err(Failure::new(FailureCode::AnswerSpoofed, "user mallory"));
    let spoofed = world.answer(spoofed).await;
    assert!(matches!(spoofed, Settled::Parked { .. }));
    let errors = world.errors_open().await;
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|error| error.about.leg(error.failure.code) == Leg::Answer));
    assert_eq!(errors[2].sync_request.as_ref().unwrap().as_str(), "9999");
    world.check();
}

#[tokio::test]
async fn an_item_is_leased_as_an_item() {
    let world = World::new();
    let mut new = request("1001", "SP-1", 1);
    new.translation.as_mut().unwrap().kind = SubjectKind::Item;
    world.record(new).await;
    let leased = world.lease(Lane::Location).await;
    let What::Location { kind, .. } = leased[0].message.what else { panic!() };
    assert_eq!(kind, SubjectKind::Item);
    world.check();
}

#[tokio::test]
async fn a_resend_gets_the_reply_again_even_while_a_copy_awaits_its_confirm() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    world.answer(answer_to(new.id.location(1), Verdict::Positive)).await;
    let first = world.lease(Lane::Reply).await;
    let known = world.record(new.clone()).await;
    assert!(matches!(known, Recorded::Known { repeated: true, .. }), "{known:?}");
    world.finish(Lane::Reply, &first, &Handover::Confirmed).await;
    let again = world.publish(Lane::Reply).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].message, first[0].message);
    assert!(world.lease(Lane::Reply).await.is_empty());
    assert_eq!(world.replies(new.id).await, ["applied"]);
    world.check();
}

#[tokio::test]
async fn an_answer_by_name_is_for_who_was_surely_asked() {
    let world = World::new();
    let first = request("1001", "SP-1", 1);
    world.record(first.clone()).await;
    world.publish(Lane::Location).await;
    world.clock.wait(SignedDuration::from_mins(15));
    world.store().sweep(10).await.unwrap();
    let corrected = request_saying("1001", "SP-1", 1, "corrected");
    world.record(corrected.clone()).await;
    let leased = world.lease(Lane::Location).await;
    assert_eq!(leased[0].message.message_id, corrected.id.location(1), "its handover is in doubt");
    let settled = world.answer(answer_naming("1001", Verdict::Positive)).await;
    let Settled::Moved { request, state: "applied", .. } = settled else { panic!("{settled:?}") };
    assert_eq!(request, first.id);
    world.finish(Lane::Location, &leased, &Handover::Confirmed).await;
    assert_eq!(world.state(corrected.id).await, "published");
    // Nobody else is waited for now.
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(world.state(corrected.id).await, "applied");
    world.check();
}
