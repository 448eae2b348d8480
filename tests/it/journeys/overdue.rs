//! No answer in time: nothing is invented.

use crate::support::{Site, positive, request};

#[test]
fn a_missing_answer_is_listed_and_a_late_one_still_settles_it() {
    let Some(site) = Site::open() else { return };
    let site = site.with("answer.timeout", "1s");
    let bridge = site.start();
    site.send(&request("S1", "P1").version(1));
    let location = site.location_of("S1");
    site.request_is("S1", "overdue");
    let listed = site.cli(&["requests", "list", "--state", "overdue", "--json"]).ended(0).json();
    assert_eq!(listed[0]["sync_request"], "S1");
    assert!(site.errors().is_empty(), "overdue is no failure");
    site.nothing_more("M1");

    // It holds back nobody any more, over a restart too.
    assert_eq!(bridge.stop().code, Some(0));
    let _bridge = site.start();
    site.send(&request("S2", "P1").version(2));
    site.accept("S2");
    site.positive_reply_to("S2");
    site.answer(&location, &positive("S1", "K1"));
    site.positive_reply_to("S1");
    site.request_is("S1", "applied");
}

#[test]
fn a_resend_of_what_is_overdue_sends_the_same_message_once_more() {
    let Some(site) = Site::open() else { return };
    let site = site.with("answer.timeout", "1s");
    let _bridge = site.start();
    let request = request("S1", "P1");
    site.send(&request);
    let first = site.location_of("S1");
    site.request_is("S1", "overdue");
    site.send(&request);
    let again = site.accept("S1");
    assert_eq!((again.message_id(), again.body), (first.message_id(), first.body));
    site.positive_reply_to("S1");
    site.nothing_more("M1");
}
