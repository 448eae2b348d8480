//! Billing sends again: the same, or corrected.

use crate::support::{Refusal, Site, negative, positive, request};

#[test]
fn an_identical_resend_while_under_way_changes_nothing() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let request = request("S1", "P1");
    site.send(&request);
    let location = site.location_of("S1");
    for _ in 0..3 {
        site.send(&request);
    }
    site.nothing_more("M1");
    site.answer(&location, &positive("S1", "K1"));
    site.positive_reply_to("S1");
    site.nothing_more("M2");
}

#[test]
fn an_identical_resend_of_what_is_settled_gets_the_same_reply_again() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let good = request("S1", "P1");
    let (_, reply) = site.synchronise(&good);
    let refused = request("S2", "P2");
    site.send(&refused);
    let location = site.location_of("S2");
    let refusal = Refusal { category: 1, number: 2, parameters: &[] };
    site.answer(&location, &negative("S2", refusal));
    let negative = site.negative_reply_to("S2");
    let untranslatable = request("S3", "P3").unmapped();
    site.send(&untranslatable);
    let parked = site.negative_reply_to("S3");

    // A restart forgets nothing of this.
    assert_eq!(bridge.stop().code, Some(0));
    let _bridge = site.start();
    for (request, before) in [(good, reply), (refused, negative), (untranslatable, parked)] {
        for _ in 0..2 {
            site.send(&request);
            let again = site.reply_to(&request.id);
            assert_eq!(again.message_id(), before.message_id());
            assert_eq!(again.body, before.body);
            assert_eq!(again.correlation_id(), before.correlation_id());
        }
    }
    site.nothing_more("M1");
    assert_eq!(site.errors().len(), 1, "the parked one is parked once");
}

#[test]
fn a_corrected_resend_takes_the_place_of_what_is_parked() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").unmapped());
    site.negative_reply_to("S1");
    let id = site.error_id("TL2002");
    site.synchronise(&request("S1", "P1"));
    site.no_errors();
    site.nothing_more("M1");
    assert_ne!(site.show_error(&id)["status"], "open");
    site.retry(&id).ended(1);
    site.nothing_more("M2");
}

#[test]
fn a_corrected_resend_after_a_refusal_is_a_new_attempt_with_a_reply_of_its_own() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    let first = site.location_of("S1");
    let refusal = Refusal { category: 11502, number: 13001, parameters: &["E-RES"] };
    site.answer(&first, &negative("S1", refusal));
    let refused = site.negative_reply_to("S1");
    let (second, applied) = site.synchronise(&request("S1", "P1").description("corrected"));
    assert_eq!(second.at("location/description"), "corrected");
    assert_ne!(first.message_id(), second.message_id());
    assert_ne!(refused.message_id(), applied.message_id());
    site.nothing_more("M1");
}

#[test]
fn a_corrected_resend_of_what_is_under_way_follows_it_and_answers_for_both() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").description("first"));
    let first = site.location_of("S1");
    site.send(&request("S1", "P1").description("second"));
    site.nothing_more("M1");
    site.answer(&first, &positive("S1", "K1"));
    let second = site.location_of("S1");
    assert_eq!(second.at("location/description"), "second");
    site.answer(&second, &positive("S1", "K2"));
    let reply = site.positive_reply_to("S1");
    assert_eq!(reply.at("externalIds/entityIdList/items/externalPk1"), "K2");
    site.nothing_more("M2");
}
