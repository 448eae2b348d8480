//! Answers: whom they are about, which of several counts, and whom nobody believes.

use crate::support::{Refusal, Site, negative, positive, properties, queue, request};

const REFUSAL: Refusal<'static> = Refusal { category: 11502, number: 13001, parameters: &["x"] };

#[test]
fn an_answer_is_correlated_by_its_correlation_id_else_by_its_reference() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    for id in ["S1", "S2", "S3"] {
        site.send(&request(id, id));
    }
    let first = site.location_of("S1");
    site.location_of("S2");
    site.location_of("S3");
    let correlated = properties().with_correlation_id(first.correlation_id().into());
    site.answer_with(&positive("", "K1"), correlated);
    site.positive_reply_to("S1");
    site.answer_with(&positive("S2", "K2"), properties());
    site.positive_reply_to("S2");
    let foreign = properties().with_correlation_id("ID:414d5120".into());
    site.answer_with(&positive("S3", "K3"), foreign);
    site.positive_reply_to("S3");
}

#[test]
fn a_negative_answer_then_a_positive_one_both_reach_billing_and_the_last_wins() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    let location = site.location_of("S1");
    site.answer(&location, &negative("S1", REFUSAL));
    let refused = site.negative_reply_to("S1");
    site.answer(&location, &positive("S1", "K1"));
    let applied = site.positive_reply_to("S1");
    assert_ne!(refused.message_id(), applied.message_id());
    site.request_is("S1", "applied");
    site.nothing_more("M1");
    assert!(site.errors().is_empty());
}

#[test]
fn a_positive_answer_then_a_negative_one_is_parked_as_a_contradiction() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.tap_errors();
    let (location, _) = site.synchronise(&request("S1", "P1"));
    let answer = negative("S1", REFUSAL);
    site.answer(&location, &answer);
    let id = site.error_id("TL4002");
    assert_eq!(site.show_error(&id)["sync_request"], "S1");
    let copy = site.client.next(queue::TAP);
    assert_eq!(copy.routing_key, "answer.TL4002");
    assert_eq!(copy.body, answer);
    assert_eq!(copy.header("tieline-error").unwrap(), id);
    assert_eq!(copy.header("tieline-leg").unwrap(), "answer");
    site.nothing_more("M1");
    site.request_is("S1", "applied");
    // What contradicts today contradicts after a retry too, and a check says so before.
    site.cli(&["errors", "check", &id, "--json"]).ended(1);
    site.retry(&id).ended(1);
    site.nothing_more("M2");
}

#[test]
fn an_answer_to_nobody_is_parked_as_an_orphan_until_its_request_is_known() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.answer_with(&positive("S1", "K1"), properties());
    let id = site.error_id("TL4003");
    site.nothing_more("M1");
    site.cli(&["errors", "check", &id, "--json"]).ended(1);
    site.retry(&id).ended(1);
    site.send(&request("S1", "P1"));
    site.location_of("S1");
    site.cli(&["errors", "check", &id, "--json"]).ended(0);
    site.retry(&id).ended(0);
    let reply = site.positive_reply_to("S1");
    assert_eq!(reply.at("externalIds/entityIdList/items/externalPk1"), "K1");
    site.no_errors();
}

#[test]
fn an_answer_to_what_was_never_sent_is_nobodys() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").unmapped());
    site.negative_reply_to("S1");
    site.answer_with(&positive("S1", "K1"), properties());
    site.error("TL4003");
    site.nothing_more("M1");
    site.request_is("S1", "parked");
}

#[test]
fn an_answer_of_another_user_is_not_believed() {
    let Some(site) = Site::open() else { return };
    let site = site.with("answer.user", "guest");
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    let location = site.location_of("S1");
    site.answer(&location, &positive("S1", "FORGED"));
    let id = site.error_id("TL4004");
    assert_eq!(site.show_error(&id)["leg"], "answer");
    let correlated = properties().with_correlation_id(location.correlation_id().into());
    // The broker vouches for this property: it refuses any other than the connection's user.
    site.answer_with(&positive("S1", "K1"), correlated.with_user_id("guest".into()));
    let reply = site.positive_reply_to("S1");
    assert_eq!(reply.at("externalIds/entityIdList/items/externalPk1"), "K1");
}

#[test]
fn a_doubled_answer_is_told_once() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    let location = site.location_of("S1");
    for _ in 0..3 {
        site.answer(&location, &positive("S1", "K1"));
    }
    site.answer_with(&positive("S1", "K1"), properties());
    site.positive_reply_to("S1");
    site.send(&request("S2", "P2"));
    let location = site.location_of("S2");
    for _ in 0..3 {
        site.answer(&location, &negative("S2", REFUSAL));
    }
    site.negative_reply_to("S2");
    site.nothing_more("M1");
    assert!(site.errors().is_empty());
}
