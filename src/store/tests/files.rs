//! Crashes, second processes, schemas: the store as a file.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;

use super::world::{
    PlainReplies, StoppedClock, World, answer_naming, answer_to, away, check_invariants, order,
    request, requests_of, retry, rules, untranslatable,
};
use crate::bridge::What;
use crate::bridge::ports::{
    Clock, Handover, Lane, Operator, Outage, Recorded, Settled, Store as _,
};
use crate::domain::{Command, ErrorId, Mark, Standing, Verdict};
use crate::store::open::{MIGRATIONS, migrate_with};
use crate::store::{Role, Settings, Sqlite, migrate};

#[tokio::test]
async fn a_crash_after_the_publish_publishes_again_under_the_same_id_and_bytes() {
    let mut world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let before = world.lease(Lane::Location).await;
    world.restart();
    let after = world.lease(Lane::Location).await;
    assert_eq!(before[0].message, after[0].message);
    world.restart();
    let settled = world.answer(answer_naming("1001", Verdict::Positive)).await;
    assert!(matches!(settled, Settled::Moved { .. }), "the answer came before the second publish");
    assert!(world.lease(Lane::Location).await.is_empty());

    let before = world.lease(Lane::Reply).await;
    world.restart();
    let after = world.lease(Lane::Reply).await;
    assert_eq!(before[0].message, after[0].message);
    world.check();
}

#[tokio::test]
async fn a_crash_before_the_delivery_is_settled_finds_it_known() {
    let mut world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    world.restart();
    assert!(matches!(world.record(new).await, Recorded::Known { state: "pending", .. }));
    assert_eq!(world.lease(Lane::Location).await.len(), 1);
    world.check();
}

#[tokio::test]
async fn what_was_answered_by_the_store_is_on_the_disk() {
    let world = World::new();
    let mut requests = Vec::new();
    for n in 0..20 {
        let new = request(&format!("{n}"), &format!("SP-{n}"), 1);
        world.record(new.clone()).await;
        requests.push(new);
    }
    // The power goes: what the file and its log say at this moment is all that remains.
    let remains = tempfile::tempdir().unwrap();
    let path = remains.path().join("store.db");
    std::fs::copy(world.path(), &path).unwrap();
    let mut log = world.path().into_os_string();
    log.push("-wal");
    std::fs::copy(log, remains.path().join("store.db-wal")).unwrap();
    let clock: Arc<dyn Clock> = StoppedClock::new();
    let settings = Settings::new(&path);
    let store =
        Sqlite::open(&settings, clock, rules(), Arc::new(PlainReplies), Role::Bridge).unwrap();
    for new in requests {
        assert!(store.request(new.id).await.unwrap().is_some());
    }
    check_invariants(&Connection::open(path).unwrap());
}

#[tokio::test]
async fn an_outage_is_remembered() {
    let mut world = World::new();
    assert_eq!(world.store().outage(Lane::Location).await.unwrap(), None);
    let outage = Outage { since: world.now(), failure: away() };
    world.store().set_outage(Lane::Location, Some(outage.clone())).await.unwrap();
    world.restart();
    assert_eq!(world.store().outage(Lane::Location).await.unwrap(), Some(outage));
    assert_eq!(world.store().outage(Lane::Reply).await.unwrap(), None);
    world.store().set_outage(Lane::Location, None).await.unwrap();
    assert_eq!(world.store().outage(Lane::Location).await.unwrap(), None);
}

#[tokio::test]
async fn two_bridges_cannot_share_a_store() {
    let world = World::new();
    let refused = world.open(Role::Bridge).err().unwrap().to_string();
    let owner = format!("process {} has it open as a bridge", std::process::id());
    assert!(refused.contains(&owner), "{refused}");
    assert!(refused.contains("store.db.lock"), "{refused}");
    assert!(migrate(&Settings::new(world.path())).is_err(), "nor is it migrated meanwhile");
}

#[tokio::test]
async fn an_operator_works_beside_the_bridge_and_takes_no_lease_back() {
    let world = World::new();
    world.record(request("1001", "SP-1", 1)).await;
    let leased = world.lease(Lane::Location).await;
    let operator = world.open(Role::Operator).unwrap();
    let bad = untranslatable("1002", "SP-2", 1);
    world.record(bad.clone()).await;
    let somebody = super::world::somebody();
    let discard = vec![order(ErrorId(1), Command::Discard)];
    let (ordered, recorded) = tokio::join!(
        operator.order(&somebody, discard),
        world.store().record(vec![request("1003", "SP-3", 1)])
    );
    ordered.unwrap();
    recorded.unwrap();
    assert_eq!(world.state(bad.id).await, "discarded");
    let more = world.lease(Lane::Location).await;
    assert_eq!(more.len(), 1, "the first is leased still");
    world.finish(Lane::Location, &leased, &Handover::Confirmed).await;
    drop(operator);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_at_the_same_time() {
    let world = World::new();
    let operator = world.open(Role::Operator).unwrap();
    let write = async |store: &Sqlite, side: &str| {
        for n in 0..50 {
            let new = untranslatable(&format!("{side}{n}"), &format!("SP-{side}-{n}"), 1);
            store.record(vec![new]).await.unwrap();
        }
    };
    tokio::join!(write(world.store(), "A"), write(&operator, "B"));
    let counts = world.store().counts().await.unwrap();
    assert!(counts.requests.contains(&("parked", 100)), "{counts:?}");
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_are_committed_together_and_each_is_answered() {
    let world = World::new();
    let callers = (0..200).map(|n| {
        let new = request(&format!("{n}"), &format!("SP-{n}"), 1);
        async { (new.id, world.record(new).await) }
    });
    for (id, recorded) in futures_util::future::join_all(callers).await {
        assert!(matches!(recorded, Recorded::New { state: "pending", .. }));
        assert_eq!(world.state(id).await, "pending");
    }
    assert_eq!(world.lease(Lane::Location).await.len(), 100);
    world.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_undoes_itself_and_no_other() {
    let world = World::new();
    let broken = request("1002", "SP-2", 1);
    world.record(broken.clone()).await;
    {
        // A hand in the store: a time that no clock shows.
        let connection = Connection::open(world.path()).unwrap();
        let spoil = "UPDATE requests SET date_ms = 9223372036854775807 WHERE sync_request = '1002'";
        connection.execute(spoil, []).unwrap();
    }
    let (bad, good) = tokio::join!(
        world.store().record(vec![request("1003", "SP-3", 1), broken]),
        world.store().record(vec![request("1001", "SP-1", 1)])
    );
    assert!(bad.unwrap_err().to_string().contains("out of range"));
    good.unwrap();
    assert_eq!(world.state(request("1001", "SP-1", 1).id).await, "pending");
    let undone = world.store().request(request("1003", "SP-3", 1).id).await.unwrap();
    assert!(undone.is_none(), "a batch is recorded as a whole or not at all");
    world.check();
}

/// A world in which a call was undone: it had recorded a request before it failed.
async fn undone() -> World {
    let world = World::new();
    let broken = request("1002", "SP-2", 1);
    world.record(broken.clone()).await;
    world.publish(Lane::Location).await;
    let connection = Connection::open(world.path()).unwrap();
    let spoil = "UPDATE requests SET date_ms = ?1 WHERE sync_request = '1002'";
    let before: i64 =
        connection.query_row("SELECT date_ms FROM requests", [], |row| row.get(0)).unwrap();
    connection.execute(spoil, [i64::MAX]).unwrap();
    let batch = vec![request("1003", "SP-3", 1), broken];
    world.store().record(batch).await.unwrap_err();
    connection.execute(spoil, [before]).unwrap();
    world
}

#[tokio::test]
async fn what_an_undone_call_was_to_send_is_not_sent_in_another_ones_place() {
    let world = undone().await;
    world.record(untranslatable("1004", "SP-4", 1)).await;
    let notes = world.lease(Lane::Note).await;
    assert_eq!(notes.len(), 1);
    assert!(matches!(notes[0].message.what, What::Note { .. }), "{notes:?}");
    assert!(world.lease(Lane::Location).await.is_empty());
    world.check();
}

#[tokio::test]
async fn what_an_undone_call_was_to_keep_takes_no_others_number() {
    let world = undone().await;
    let operator = world.open(Role::Operator).unwrap();
    let (first, second) = (untranslatable("1004", "SP-4", 1), untranslatable("1005", "SP-5", 1));
    operator.record(vec![first.clone()]).await.unwrap();
    world.record(second.clone()).await;
    for new in [first, second] {
        let messages = world.store().request_messages(new.id).await.unwrap().unwrap();
        assert_eq!(messages.received, new.arrival);
    }
    drop(operator);
    world.check();
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().join("store.db"));
    migrate(&settings).unwrap();
    Connection::open(&settings.path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    for role in [Role::Bridge, Role::Operator] {
        let clock: Arc<dyn Clock> = StoppedClock::new();
        let opened = Sqlite::open(&settings, clock, rules(), Arc::new(PlainReplies), role);
        let why = opened.err().unwrap().to_string();
        let known = MIGRATIONS.len();
        let said = format!("the store has schema 7, this tieline knows {known}");
        assert!(why.contains(&said), "{why}");
    }
}

#[tokio::test]
async fn an_older_schema_is_migrated_with_what_it_holds() {
    let world = World::new();
    let new = request("1001", "SP-1", 1);
    world.record(new.clone()).await;
    let settings = Settings::new(world.path());
    let World { folder, store, .. } = world;
    drop(store);
    let next: Vec<_> =
        MIGRATIONS.iter().copied().chain(["ALTER TABLE requests ADD COLUMN colour TEXT"]).collect();
    let migrated = migrate_with(&settings, &next).unwrap();
    assert_eq!(migrated.to, migrated.from + 1);
    assert_eq!(migrate_with(&settings, &next).unwrap().from, migrated.to, "once");
    let connection = Connection::open(&settings.path).unwrap();
    let held: i64 = connection
        .query_row("SELECT count(*) FROM requests WHERE colour IS NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!(held, 1);
    check_invariants(&connection);
    drop(folder);
}

#[test]
fn a_migration_that_fails_leaves_the_store_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().join("store.db"));
    let known = migrate(&settings).unwrap().to;
    let broken: Vec<_> = MIGRATIONS
        .iter()
        .copied()
        .chain(["CREATE TABLE extra (a); INSERT INTO nowhere VALUES (1)"])
        .collect();
    assert!(migrate_with(&settings, &broken).is_err());
    assert_eq!(migrate(&settings).unwrap().from, known);
    let connection = Connection::open(&settings.path).unwrap();
    assert!(connection.prepare("SELECT * FROM extra").is_err());
}

#[tokio::test]
async fn a_store_knows_who_it_is_and_how_far_and_what_it_accepted() {
    let mut world = World::new();
    let blank = world.store().mark().await.unwrap();
    assert!(blank.is_blank() && blank.epoch == 1 && blank.accepted.is_none());
    assert_ne!(blank.store, World::new().store().mark().await.unwrap().store);
    world.record(request("1001", "SP-1", 1)).await;
    let mark = world.store().mark().await.unwrap();
    assert!(mark.line > blank.line && mark.place > blank.place && mark.store == blank.store);
    let ahead = Mark { line: 99, ..mark.clone() }.fence("another run", Timestamp::UNIX_EPOCH);
    assert_eq!(mark.against(Some(&ahead)), Standing::Behind);

    let operator = Operator { name: "kim".to_owned(), reason: "the disk died".to_owned() };
    world.store().accept(&operator, &ahead).await.unwrap();
    world.restart();
    let accepted = world.store().mark().await.unwrap();
    assert_eq!((accepted.epoch, accepted.accepted), (2, Some(ahead.store)));
    assert_eq!(accepted.line, mark.line + 1, "it is journalled");
    assert_eq!(accepted.against(Some(&ahead)), Standing::Well);
    world.check();
}

#[test]
fn an_operator_makes_no_store_and_a_foreign_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().join("store.db"));
    let open = |role| {
        let clock: Arc<dyn Clock> = StoppedClock::new();
        let opened = Sqlite::open(&settings, clock, rules(), Arc::new(PlainReplies), role);
        opened.err().unwrap().to_string()
    };
    assert!(open(Role::Operator).contains("there is no store"));
    assert!(!settings.path.exists());
    let foreign = Connection::open(&settings.path).unwrap();
    foreign.execute_batch("CREATE TABLE songs (title)").unwrap();
    assert!(open(Role::Bridge).contains("not a store of tieline"));
    assert!(Settings::from_url("postgres://x").is_err());
    assert_eq!(Settings::from_url("sqlite:/a/b").unwrap().path, std::path::Path::new("/a/b"));
}

/// A store of schema 3: each payload a row of its own, what was made of it behind it.
const SCHEMA_3: &str = "
    INSERT INTO payloads (id, properties, body, made_at) VALUES
        (1, '{\"message_id\":\"m\"}', CAST('<in/><out/>' AS BLOB), 5),
        (2, '{}', CAST('<answer/>' AS BLOB), NULL), (3, NULL, CAST('<reply/>' AS BLOB), NULL);
    INSERT INTO requests (seq, id, sync_request, service_point, version, state, tries, date_ms,
        attempted, kind, edition, received, outgoing, mapping, told, replies, resends,
        received_at_ms, changed_at_ms)
        VALUES (1, ?1, '1001', 'SP-1', 1, 5, 0, NULL, 1, 0, 1, 1, 1, 'm', 0, 1, 0, 0, 0);
    INSERT INTO answers (id, request, payload, verdict, at_ms) VALUES (?1, 1, 2, 0, 0);
    INSERT INTO replies (request, number, message, outcome, payload, state, tries, made_at_ms)
        VALUES (1, 1, ?1, 'applied', 3, 1, 0, 0);
    INSERT INTO journal VALUES (1, 1, 0, 'received', '', NULL), (1, 2, 0, 'answered', '', 5);
    UPDATE tallies SET requests = 1 WHERE state = 5";

#[tokio::test]
async fn what_schema_3_held_is_read_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().join("store.db"));
    migrate_with(&settings, &MIGRATIONS[..3]).unwrap();
    let id = request("1001", "SP-1", 1).id;
    let bytes = id.as_uuid().as_bytes().iter().map(|byte| format!("{byte:02x}"));
    let literal = format!("x'{}'", bytes.collect::<String>());
    let connection = Connection::open(&settings.path).unwrap();
    connection.execute_batch(&SCHEMA_3.replace("?1", &literal)).unwrap();
    drop(connection);

    assert_eq!(migrate(&settings).unwrap().to as usize, MIGRATIONS.len());
    check_invariants(&Connection::open(&settings.path).unwrap());
    let clock: Arc<dyn Clock> = StoppedClock::new();
    let store =
        Sqlite::open(&settings, clock, rules(), Arc::new(PlainReplies), Role::Bridge).unwrap();
    let messages = store.request_messages(id).await.unwrap().unwrap();
    assert_eq!(messages.received.payload, b"<in/>");
    assert_eq!(messages.received.properties.message_id.as_deref(), Some("m"));
    assert_eq!(messages.location.as_deref(), Some(&b"<out/>"[..]));
    assert_eq!(messages.replies[0].payload, b"<reply/>");
    let mark = store.mark().await.unwrap();
    assert_eq!(mark.store.as_uuid(), id.as_uuid(), "each copy of it becomes the same store");
    let newer = request("1002", "SP-1", 2);
    store.record(vec![newer.clone()]).await.unwrap();
    assert_eq!(store.timeline(newer.id).await.unwrap().len(), 2);
    check_invariants(&Connection::open(&settings.path).unwrap());
}

/// A store of schema 5: one request waits to be sent, one to be answered, one for the first, one for
/// an operator, and one is over.
const SCHEMA_5: &str = "
    INSERT INTO payloads (id, properties, body, made_at, form) VALUES
        (1, '{}', CAST('<in/><out/>' AS BLOB), 5, 0);
    INSERT INTO requests (seq, id, sync_request, service_point, version, state, tries, date_ms,
        place, attempted, kind, edition, received, outgoing, mapping, replies, resends,
        received_at_ms, changed_at_ms) VALUES
        (1, ?1, '1001', 'SP-1', 1, 1, 0, 0, 1, 0, 0, 1, 256, 256, 'm', 0, 0, 0, 0),
        (2, ?2, '1002', 'SP-2', 1, 2, 0, 9000, NULL, 1, 0, 1, 256, 256, 'm', 0, 0, 0, 0),
        (3, ?3, '1003', 'SP-1', 2, 0, 0, NULL, NULL, 0, 0, 1, 256, 256, 'm', 0, 0, 0, 0),
        (4, ?4, '1004', 'SP-4', 1, 3, 0, NULL, NULL, 0, NULL, 0, 256, NULL, NULL, 1, 0, 0, 0),
        (5, ?5, '1005', 'SP-2', 0, 5, 0, NULL, NULL, 1, 0, 1, 256, 256, 'm', 1, 0, 0, 0);
    UPDATE requests SET error = 1 WHERE seq = 4;
    INSERT INTO errors (id, about, subject, request, status, code, detail, failures, notes,
        first_at_ms, last_at_ms) VALUES (1, 0, 4, 4, 0, 'TL2002', '', 1, 1, 0, 0);
    INSERT INTO replies (request, number, message, outcome, payload, state, tries, made_at_ms,
        delivered_at_ms) VALUES (4, 1, ?4, 'parked', 256, 1, 0, 0, 0),
        (5, 1, ?5, 'applied', 256, 1, 0, 0, 0);
    INSERT INTO outbox VALUES (0, 1, 1, 0, 0, 0, 0);
    INSERT INTO journal VALUES (1, 1, 0, 'received', '', NULL), (1, 2, 0, 'translated', '', 1),
        (2, 3, 0, 'received', '', NULL), (2, 4, 0, 'translated', '', 1),
        (2, 5, 0, 'confirmed', '', 2), (3, 6, 0, 'received', '', NULL),
        (3, 7, 0, 'waiting', '', 0), (4, 8, 0, 'received', '', NULL), (4, 9, 0, 'parked', '', 3),
        (5, 10, 0, 'answered', '', 5), (5, 11, 0, 'replied', '', NULL);
    UPDATE counters SET value = 1 WHERE name = 'place';
    UPDATE counters SET value = 11 WHERE name = 'line';
    UPDATE tallies SET requests = 1 WHERE state IN (0, 1, 2, 3, 5)";

#[tokio::test]
async fn what_was_under_way_in_schema_5_goes_on() {
    let mut world = World::new();
    world.store = None;
    std::fs::remove_file(world.path()).unwrap();
    let settings = Settings::new(world.path());
    migrate_with(&settings, &MIGRATIONS[..5]).unwrap();
    let new = [("1001", "SP-1"), ("1002", "SP-2"), ("1003", "SP-1"), ("1004", "SP-4")]
        .map(|(sync_request, service_point)| request(sync_request, service_point, 1));
    let last = request("1005", "SP-2", 0);
    let ids = [new[0].id, new[1].id, new[2].id, new[3].id, last.id];
    let mut filled = SCHEMA_5.to_owned();
    for (number, id) in ids.iter().enumerate() {
        let bytes = id.as_uuid().as_bytes().iter().map(|byte| format!("{byte:02x}"));
        let literal = format!("x'{}'", bytes.collect::<String>());
        filled = filled.replace(&format!("?{}", number + 1), &literal);
    }
    Connection::open(&settings.path).unwrap().execute_batch(&filled).unwrap();
    migrate(&settings).unwrap();
    world.check();

    world.restart();
    assert_eq!(world.publish(Lane::Location).await.len(), 1);
    for new in &new[..2] {
        let settled = world.answer(answer_to(new.id.location(1), Verdict::Positive)).await;
        assert!(matches!(settled, Settled::Moved { state: "applied", .. }), "{settled:?}");
    }
    assert_eq!(requests_of(&world.publish(Lane::Location).await), [new[2].id], "its turn has come");
    world.order(retry(ErrorId(1), &new[3])).await;
    assert_eq!(requests_of(&world.publish(Lane::Location).await), [new[3].id]);
    assert_eq!(world.publish(Lane::Reply).await.len(), 2);
    world.record(last.clone()).await;
    assert_eq!(requests_of(&world.publish(Lane::Reply).await), [last.id], "billing asks again");
    assert_eq!(
        world.kinds(new[0].id).await,
        ["received", "translated", "confirmed", "answered", "reply-made", "replied"]
    );
    assert_eq!(
        world.kinds(new[1].id).await,
        ["received", "translated", "confirmed", "answered", "reply-made", "replied"]
    );
    assert_eq!(world.kinds(last.id).await, ["answered", "replied", "resent", "replied"]);
    world.check();
}
