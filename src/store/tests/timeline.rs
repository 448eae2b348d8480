//! A timeline reads the same whether a line was written or is told by the rows themselves.

use jiff::SignedDuration;
use rusqlite::Connection;

use super::world::{World, answer_to, request, retry, translation};
use crate::bridge::ports::{
    JournalLine, Lane, Mended, NewRequest, Returned, Store as _, TakenIn, TookIn,
};
use crate::domain::{Failure, FailureCode, RequestId, Translation, Verdict};
use crate::store::views::LINES;

/// The lines: how many seconds after the first, what, and its detail.
async fn told(world: &World, id: RequestId) -> Vec<(i64, String, String)> {
    let lines = world.store().timeline(id).await.unwrap();
    let Some(JournalLine { at: first, .. }) = lines.first().cloned() else { return Vec::new() };
    let told =
        |line: JournalLine| (line.at.duration_since(first).as_secs(), line.kind, line.detail);
    lines.into_iter().map(told).collect()
}

fn line(at: i64, kind: &str, detail: &str) -> (i64, String, String) {
    (at, kind.to_owned(), detail.to_owned())
}

fn wait(world: &World) {
    world.clock.wait(SignedDuration::from_secs(1));
}

async fn settle(world: &World, new: &NewRequest) {
    world.record(new.clone()).await;
    wait(world);
    let leased = world.publish(Lane::Location).await;
    wait(world);
    world.answer(answer_to(leased[0].message.message_id, Verdict::Positive)).await;
    wait(world);
    world.publish(Lane::Reply).await;
}

#[tokio::test]
async fn the_usual_course_is_told_line_by_line() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    settle(&world, &new).await;
    let made = format!("applied (positive), message {}", new.id.reply(1));
    let usual = [
        line(0, "received", "14 bytes from ccb.sp.sync"),
        line(0, "translated", "metered by mapping a1b2c3"),
        line(1, "confirmed", "the broker has it"),
        line(2, "answered", "asset management answered positively: ASSET-LOCATION 8842; applied"),
        line(2, "reply-made", &made),
        line(3, "replied", "billing's broker has it: applied"),
    ];
    assert_eq!(told(&world, new.id).await, usual);
    world.check();

    // Billing asks again: the reply is delivered a second time, and the first one stays told.
    wait(&world);
    world.record(new.clone()).await;
    wait(&world);
    world.publish(Lane::Reply).await;
    let more = [
        line(4, "resent", "billing sent it again: it gets its last reply once more"),
        line(5, "replied", "billing's broker has it: applied"),
    ];
    assert_eq!(told(&world, new.id).await, [&usual[..], &more[..]].concat());
    world.check();
}

#[tokio::test]
async fn another_translation_changes_nothing_of_what_was_told() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let leased = world.publish(Lane::Location).await;
    let before = told(&world, new.id).await;
    assert_eq!(before.len(), 3);
    let came_back = TakenIn::Returned {
        message: leased[0].message.message_id,
        about: Returned::Location(new.id),
        failure: Failure::new(FailureCode::LocationDeadLettered, "it expired"),
    };
    wait(&world);
    let took_in = world.store().take_in(vec![came_back]).await.unwrap();
    let [TookIn::Opened(error)] = took_in[..] else { panic!("{took_in:?}") };
    let mut order = retry(error, &new);
    if let Some(Mended::Request { translation, .. }) = &mut order.mended {
        translation.mapping = "d4e5f6".to_owned();
    }
    world.order(order).await;
    wait(&world);
    world.publish(Lane::Location).await;
    let after = told(&world, new.id).await;
    assert_eq!(after[..3], before);
    let kinds: Vec<_> = after[3..].iter().map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["parked", "reply-made", "translated", "retried", "confirmed"]);
    assert_eq!(after[5], line(1, "translated", "metered by mapping d4e5f6"));
    assert_eq!(after.last(), Some(&line(2, "confirmed", "the broker has it")));
    world.check();
}

#[tokio::test]
async fn a_translation_with_values_that_no_map_had_says_so() {
    let world = World::new();
    let translation = Ok(Translation { passes: 2, ..translation("x") });
    let new = NewRequest { translation, ..request("1001", "SP-1", 1) };
    world.record(new.clone()).await;
    let detail = "metered by mapping a1b2c3, 2 values passed through unmapped";
    assert_eq!(told(&world, new.id).await[1], line(0, "translated", detail));
}

#[tokio::test]
async fn a_timeline_is_found_without_reading_those_of_others() {
    let world = World::new();
    let connection = Connection::open(world.path()).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {LINES}")).unwrap();
    let steps = statement.query_map([1], |row| row.get::<_, String>(3)).unwrap();
    let steps: Vec<_> = steps.collect::<Result<_, _>>().unwrap();
    let read_whole = ["SCAN journal", "SCAN requests", "SCAN replies"];
    let is_whole = |step: &String| read_whole.iter().any(|scan| step.starts_with(scan));
    assert!(!steps.iter().any(is_whole), "{steps:#?}");
    assert!(steps.iter().any(|step| step.starts_with("SEARCH journal")), "{steps:#?}");
}
