//! The store fails for a while: what is not recorded stays with the broker.

use rusqlite::Connection;

use crate::support::{Reader, Site, queue, request, until};

#[test]
fn a_store_that_somebody_holds_delays_and_loses_nothing() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let locations = Reader::of_locations(&site.url);
    let replies = Reader::of_replies(&site.url);
    let requests: Vec<_> =
        (0..200).map(|n| request(&format!("S{n}"), &format!("P{n}")).bytes()).collect();
    site.client.publish_all(queue::REQUEST, &requests[..100]);
    until("some replies", || (replies.count() > 10).then_some(()));
    let holder = Connection::open(site.path("tieline.db")).unwrap();
    let held = || holder.execute_batch("BEGIN IMMEDIATE").ok();
    until("the store to be held by somebody else", held);
    site.client.publish_all(queue::REQUEST, &requests[100..]);
    bridge.logs("database is locked");
    holder.execute_batch("ROLLBACK").unwrap();
    let told = replies.until_about(200);
    super::crash::assert_each_settled_once(&told, 200);
    super::crash::assert_resends_are_equal(&locations.taken(), 200);
    assert!(site.errors().is_empty(), "the store's failure is nobody's");
    assert_eq!(bridge.stop().code, Some(0));
}

#[test]
fn a_store_of_a_newer_tieline_is_refused() {
    let Some(site) = Site::open() else { return };
    assert_eq!(site.start().stop().code, Some(0));
    let store = Connection::open(site.path("tieline.db")).unwrap();
    let version: i64 = store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    store.pragma_update(None, "user_version", version + 1000).unwrap();
    drop(store);
    let ended = site.start_in_vain();
    assert_eq!(ended.code, Some(12), "{ended:?}");
    ended.says(&["tieline.db", "schema"]);
    site.cli(&["errors", "list"]).ended(12);
}
