//! What operators do, and what arrives on the error queues from elsewhere.

use super::world::{
    World, answer_naming, answer_to, away, order, request, retry, somebody, translation,
    untranslatable,
};
use crate::bridge::ports::{
    ErrorQuery, Handover, Lane, Mended, NewRequest, Order, Ordered, RequestQuery, Returned,
    Settled, Store as _, TakenIn, TookIn,
};
use crate::domain::{Command, ErrorId, ErrorStatus, Failure, FailureCode, ServicePointId, Verdict};
use crate::store::Role;

fn dead_lettered() -> Failure {
    Failure::new(FailureCode::LocationDeadLettered, "rejected by its consumer")
}

#[tokio::test]
async fn a_retry_sends_the_translation_of_today_under_a_new_message_id() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let error = world.error_of(new.id).await.id;
    assert_eq!(world.order(retry(error, &new)).await, Ordered::Done);
    let view = world.store().error(error).await.unwrap().unwrap();
    assert_eq!((view.status, view.by), (ErrorStatus::Retrying, Some(somebody())));
    let leased = world.publish(Lane::Location).await;
    assert_eq!(leased[0].message.payload, b"mended");
    assert_eq!(leased[0].message.message_id, new.id.location(1));
    assert_eq!(world.order(retry(error, &new)).await, Ordered::NotOpen(ErrorStatus::Retrying));
    assert_eq!(world.order(retry(ErrorId(99), &new)).await, Ordered::Unknown);

    let timeline = world.store().timeline(new.id).await.unwrap();
    let retried = timeline.iter().find(|line| line.kind == "retried").unwrap();
    assert_eq!(retried.detail, "by mia: mapping mended");
    world.check();
}

#[tokio::test]
async fn a_retry_that_parks_again_opens_the_same_record_and_notes_it_anew() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let error = world.error_of(new.id).await.id;
    let first = world.publish(Lane::Note).await;
    world.order(retry(error, &new)).await;
    world.store().park(Lane::Location, &away(), 10).await.unwrap();
    let view = world.error_of(new.id).await;
    assert_eq!((view.id, view.status, view.failures), (error, ErrorStatus::Open, 2));
    assert_eq!(view.failure, away());
    let second = world.publish(Lane::Note).await;
    assert_ne!(first[0].message.message_id, second[0].message.message_id);
    assert_eq!(world.replies(new.id).await, ["parked", "parked"]);
    world.check();
}

#[tokio::test]
async fn a_discard_can_be_taken_back_and_billing_is_told_once() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let error = world.error_of(new.id).await.id;
    assert_eq!(world.order(order(error, Command::Discard)).await, Ordered::Done);
    assert_eq!(world.state(new.id).await, "discarded");
    assert_eq!(world.replies(new.id).await, ["parked"]);
    let discarded = Ordered::NotOpen(ErrorStatus::Discarded);
    assert_eq!(world.order(order(error, Command::Discard)).await, discarded);
    assert_eq!(world.order(order(error, Command::Restore)).await, Ordered::Done);
    assert_eq!(world.state(new.id).await, "parked");
    let open = Ordered::NotOpen(ErrorStatus::Open);
    assert_eq!(world.order(order(error, Command::Restore)).await, open);
    world.check();
}

#[tokio::test]
async fn an_unreadable_request_can_become_readable_and_is_then_replied() {
    let world = World::new();
    let readable = request("1001", "SP-1", 1);
    let new = NewRequest {
        sync_request: None,
        service_point: None,
        translation: untranslatable("1001", "SP-1", 1).translation,
        ..readable.clone()
    };
    world.record(new.clone()).await;
    let error = world.error_of(new.id).await.id;
    assert_eq!(world.order(retry(error, &readable)).await, Ordered::Done);
    world.publish(Lane::Location).await;
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert_eq!(world.replies(new.id).await, ["applied"]);
    world.check();
}

#[tokio::test]
async fn a_retry_without_a_translation_changes_nothing() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let error = world.error_of(new.id).await.id;
    let still = Ordered::StillFails(new.translation.unwrap_err());
    assert_eq!(world.order(order(error, Command::Retry)).await, still);
    assert_eq!(world.state(new.id).await, "parked");
    world.check();
}

#[tokio::test]
async fn a_parked_reply_is_retried_with_the_same_id_and_bytes() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let lost = world.lease(Lane::Reply).await;
    world.finish(Lane::Reply, &lost, &Handover::Interrupted).await;
    let gone = Failure::new(FailureCode::BillingUnreachable, "away");
    world.store().park(Lane::Reply, &gone, 10).await.unwrap();
    let error = world.errors_open().await[0].id;
    assert_eq!(world.order(order(error, Command::Retry)).await, Ordered::Done);
    let again = world.publish(Lane::Reply).await;
    assert_eq!(lost[0].message, again[0].message);
    assert_eq!(world.status_of(error).await, ErrorStatus::Resolved);
    world.check();
}

#[tokio::test]
async fn a_parked_reply_does_not_come_after_a_newer_one() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    world.answer(answer_naming("1001", Verdict::Negative)).await;
    let gone = Failure::new(FailureCode::BillingUnreachable, "away");
    world.store().park(Lane::Reply, &gone, 10).await.unwrap();
    world.answer(answer_naming("1001", Verdict::Positive)).await;
    let error = world.errors_open().await[0].id;
    let refused = world.order(order(error, Command::Retry)).await;
    assert!(matches!(refused, Ordered::Refused(_)), "{refused:?}");
    assert_eq!(world.order(order(error, Command::Discard)).await, Ordered::Done);
    world.check();
}

#[tokio::test]
async fn an_orphan_can_be_matched_later() {
    let world = World::new();
    let orphan = answer_naming("1001", Verdict::Positive);
    let Settled::Parked { error, .. } = world.answer(orphan.clone()).await else { panic!() };
    let mended = Some(Mended::Answer(orphan.read.clone().unwrap()));
    let retry = Order { error, command: Command::Retry, mended };
    let still = world.order(retry.clone()).await;
    assert!(matches!(still, Ordered::StillFails(_)), "{still:?}");
    assert_eq!(world.status_of(error).await, ErrorStatus::Open);

    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    assert_eq!(world.order(retry).await, Ordered::Done);
    assert_eq!(world.state(new.id).await, "applied");
    assert_eq!(world.status_of(error).await, ErrorStatus::Resolved);
    let repeat = world.answer(orphan).await;
    assert!(matches!(repeat, Settled::Ignored { .. }), "{repeat:?}");
    world.check();
}

#[tokio::test]
async fn a_returned_asset_location_is_parked_once() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Location).await;
    let returned = |edition| TakenIn::Returned {
        message: new.id.location(edition),
        about: Returned::Location(new.id),
        failure: dead_lettered(),
    };
    let took = world.store().take_in(vec![returned(7), returned(1), returned(1)]).await.unwrap();
    let error = world.error_of(new.id).await.id;
    assert_eq!(took, [TookIn::Known, TookIn::Opened(error), TookIn::Known]);
    assert_eq!(world.replies(new.id).await, ["parked"]);
    world.check();
}

#[tokio::test]
async fn what_comes_back_of_nobody_is_unknown() {
    let world = World::new();
    let stranger = request("1001", "SP-1", 1).id;
    let taken = vec![
        TakenIn::Note { error: ErrorId(42) },
        TakenIn::Returned {
            message: stranger.location(1),
            about: Returned::Location(stranger),
            failure: dead_lettered(),
        },
        TakenIn::Returned {
            message: stranger.reply(1),
            about: Returned::Reply(stranger),
            failure: dead_lettered(),
        },
    ];
    let took = world.store().take_in(taken).await.unwrap();
    assert_eq!(took, [TookIn::Unknown; 3]);
    world.check();
}

#[tokio::test]
async fn a_returned_reply_is_parked_and_foreign_messages_become_records() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.publish(Lane::Reply).await;
    let failure = Failure::new(FailureCode::ReplyDeadLettered, "rejected by billing");
    let foreign = Failure::new(FailureCode::Foreign, "put there by somebody");
    let message = new.id.reply(1);
    let stranger = request("2002", "SP-2", 1);
    let taken = vec![
        TakenIn::Note { error: ErrorId(1) },
        TakenIn::Returned { message, about: Returned::Reply(new.id), failure: failure.clone() },
        TakenIn::Returned { message, about: Returned::Reply(new.id), failure },
        TakenIn::Request { request: Box::new(new.clone()), failure: foreign.clone() },
        TakenIn::Request { request: Box::new(stranger.clone()), failure: foreign.clone() },
        TakenIn::Answer {
            answer: Box::new(answer_to(message, Verdict::Positive)),
            failure: foreign.clone(),
        },
        TakenIn::Answer {
            answer: Box::new(answer_to(message, Verdict::Positive)),
            failure: foreign,
        },
    ];
    let took = world.store().take_in(taken).await.unwrap();
    let opened = |n| TookIn::Opened(ErrorId(n));
    let known = TookIn::Known;
    assert_eq!(took, [known, opened(2), known, known, opened(3), opened(4), known]);
    assert_eq!(world.state(stranger.id).await, "parked", "although it translates");
    assert_eq!(world.replies(stranger.id).await, ["parked"]);
    world.check();
}

#[tokio::test]
async fn errors_are_found_by_group_code_page_and_whom_they_are_about() {
    let world = World::new();
    for n in 0..5 {
        world.record(untranslatable(&format!("100{n}"), &format!("SP-{n}"), 1)).await;
    }
    world.record(request("2001", "SP-9", 1)).await;
    world.store().park(Lane::Location, &away(), 10).await.unwrap();
    let store = world.store();

    let groups = store.error_groups(&ErrorQuery::default()).await.unwrap();
    let shown: Vec<_> = groups.iter().map(|it| (it.group.to_string(), it.count)).collect();
    assert_eq!(shown, [("TL2002:location/nodeType".into(), 5), ("TL3004".into(), 1)]);
    assert_eq!(
        (groups[1].sample.as_str(), groups[1].sample_error),
        ("vhost assets is away", ErrorId(6))
    );

    let count = async |query: ErrorQuery| store.errors(&query).await.unwrap().len();
    let of = |group: &str| ErrorQuery { group: Some(group.into()), ..ErrorQuery::default() };
    assert_eq!(count(of("TL2002:location/nodeType")).await, 5);
    assert_eq!(count(of("TL2002:other")).await, 0);
    assert_eq!(count(of("TL3004")).await, 1);
    let code = Some("TL2002".to_owned());
    assert_eq!(count(ErrorQuery { code, ..ErrorQuery::default() }).await, 5);
    let service_point = ServicePointId::new("SP-9").ok();
    assert_eq!(count(ErrorQuery { service_point, ..ErrorQuery::default() }).await, 1);
    let sync_request = Some(super::world::sync("1003"));
    assert_eq!(count(ErrorQuery { sync_request, ..ErrorQuery::default() }).await, 1);
    let now = Some(world.now());
    let before = world.now().checked_sub(jiff::SignedDuration::from_millis(1)).ok();
    assert_eq!(count(ErrorQuery { until: before, ..ErrorQuery::default() }).await, 0);
    assert_eq!(count(ErrorQuery { since: now, until: now, ..ErrorQuery::default() }).await, 6);
    let before = Some(ErrorId(4));
    let page = ErrorQuery { before, limit: 2, ..ErrorQuery::default() };
    let page: Vec<_> = store.errors(&page).await.unwrap().iter().map(|it| it.id.0).collect();
    assert_eq!(page, [3, 2]);
    world.order(order(ErrorId(6), Command::Discard)).await;
    let statuses = vec![ErrorStatus::Discarded, ErrorStatus::Open];
    assert_eq!(count(ErrorQuery { statuses, ..ErrorQuery::default() }).await, 6);
    assert_eq!(count(ErrorQuery::default()).await, 5);
    assert_eq!(count(ErrorQuery { ids: vec![ErrorId(6)], ..ErrorQuery::default() }).await, 1);
    world.check();
}

#[tokio::test]
async fn messages_are_shown_as_they_came() {
    let world = World::new();
    let new = untranslatable("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let shown = world.store().error_message(ErrorId(1)).await.unwrap().unwrap();
    assert_eq!(shown, new.arrival);
    assert_eq!(world.store().error_message(ErrorId(9)).await.unwrap(), None);
    let messages = world.store().request_messages(new.id).await.unwrap().unwrap();
    assert_eq!((messages.received, messages.location), (new.arrival, None));
    assert_eq!(messages.replies[0].payload, b"1001 parked");
}

#[tokio::test]
async fn requests_are_listed_newest_first_and_counted_by_state() {
    let world = World::new();
    for n in 1..=3 {
        world.record(request(&format!("100{n}"), &format!("SP-{n}"), 1)).await;
    }
    let parked = untranslatable("1004", "SP-4", 1);
    world.record(parked.clone()).await;
    let store = world.store();
    let list = async |query: RequestQuery| {
        let found = store.requests(&query).await.unwrap();
        found.iter().map(|it| it.sync_request.as_ref().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(RequestQuery::default()).await, ["1004", "1003", "1002", "1001"]);
    let states = vec!["parked".to_owned()];
    assert_eq!(list(RequestQuery { states, ..RequestQuery::default() }).await, ["1004"]);
    let states = vec!["pending".to_owned(), "parked".to_owned()];
    let limit = 2;
    assert_eq!(
        list(RequestQuery { states, limit, ..RequestQuery::default() }).await,
        ["1004", "1003"]
    );
    let service_point = ServicePointId::new("SP-2").ok();
    assert_eq!(list(RequestQuery { service_point, ..RequestQuery::default() }).await, ["1002"]);
    let since = Some(world.now());
    assert_eq!(list(RequestQuery { since, ..RequestQuery::default() }).await.len(), 4);
    assert_eq!(list(RequestQuery { until: since, ..RequestQuery::default() }).await.len(), 4);
    let until = world.now().checked_sub(jiff::SignedDuration::from_millis(1)).ok();
    assert!(list(RequestQuery { until, ..RequestQuery::default() }).await.is_empty());

    let counts = store.counts().await.unwrap();
    assert_eq!(counts.requests.len(), 9, "every state is named");
    assert!(counts.requests.contains(&("pending", 3)) && counts.requests.contains(&("parked", 1)));
    assert_eq!(counts.outbox, [("location", 3), ("reply", 1), ("note", 1)]);
    assert_eq!(counts.oldest.len(), 3);
    assert_eq!(counts.errors_open[0].1, 1);
    assert_eq!(store.status().await.unwrap().counts, counts);
    assert_eq!(translation("x").mapping, "a1b2c3");
}

#[tokio::test]
async fn what_another_process_did_to_a_request_is_seen_at_its_next_step() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let leased = world.publish(Lane::Location).await;
    let message = leased[0].message.message_id;
    let beside = world.open(Role::Operator).unwrap();
    beside.settle(vec![answer_to(message, Verdict::Positive)]).await.unwrap();
    world.answer(answer_to(message, Verdict::Negative)).await;
    assert_eq!(world.state(new.id).await, "applied");
}
