//! The error queues: what the bridge did not put there is taken in, and nothing lies unseen.

use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::support::{Site, positive, properties, queue, request, until};

#[test]
fn an_asset_location_that_its_consumer_rejects_is_parked_and_can_be_retried() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    site.client.reject_next(queue::LOCATION);
    let reply = site.negative_reply_to("S1");
    assert!(reply.text().contains("TL3005"), "{}", reply.text());
    let error = site.error("TL3005");
    assert_eq!(error["sync_request"], "S1");
    assert_eq!(error["leg"], "location");
    site.request_is("S1", "parked");
    site.retry(error["id"].as_str().unwrap()).ended(0);
    site.accept("S1");
    site.positive_reply_to("S1");
    site.no_errors();
    site.nothing_more("M1");
    until("an empty error queue", || {
        (site.client.depth(queue::REQUEST_ERROR) == Some(0)).then_some(())
    });
}

#[test]
fn a_request_that_the_broker_dead_lettered_is_taken_in() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("x-first-death-exchange", ""),
        ("x-first-death-queue", queue::REQUEST),
        ("x-first-death-reason", "delivery_limit"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    }
    let dead = properties().with_headers(headers).with_correlation_id("c-1".into());
    let bytes = request("S1", "P1").bytes();
    site.client.publish_to("tieline.errors", "request.dead", &bytes, dead);
    let id = site.error_id("TL6001");
    let detail = site.show_error(&id)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(queue::REQUEST), "{detail}");
    site.negative_reply_to("S1");
    site.retry(&id).ended(0);
    let location = site.accept("S1");
    assert!(!location.properties.headers().as_ref().unwrap().contains_key("x-first-death-queue"));
    assert_eq!(site.positive_reply_to("S1").correlation_id(), "c-1");
}

#[test]
fn a_foreign_message_on_an_error_queue_is_taken_in_and_can_be_retried() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.client.publish(queue::REQUEST_ERROR, &request("S1", "P1").bytes(), properties());
    let id = site.error_id("TL6002");
    assert_eq!(site.show_error(&id)["sync_request"], "S1");
    site.negative_reply_to("S1");
    site.cli(&["errors", "check", &id, "--json"]).ended(0);
    site.retry(&id).ended(0);
    site.accept("S1");
    site.positive_reply_to("S1");

    site.client.publish(queue::REQUEST_ERROR, b"\xff\xfe\xfd", properties());
    let garbage = site.error_id("TL6002");
    site.retry(&garbage).ended(1);
    site.send(&request("S2", "P2"));
    site.location_of("S2");
    site.client.publish(queue::ANSWER_ERROR, &positive("S2", "K2"), properties());
    let answer = until("the answer to be taken in", || {
        let errors = site.errors();
        errors.into_iter().find(|error| error["leg"] == "answer" && error["code"] == "TL6002")
    });
    site.retry(answer["id"].as_str().unwrap()).ended(0);
    site.positive_reply_to("S2");
    site.nothing_more("M1");
}

#[test]
fn a_copy_that_comes_again_does_not_undo_what_was_resolved() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.tap_errors();
    site.send(&request("S1", "P1").unmapped());
    site.negative_reply_to("S1");
    let copy = site.client.next(queue::TAP);
    let put_back = || {
        let properties = copy.properties.clone();
        site.client.publish(queue::REQUEST_ERROR, &copy.body, properties);
        until("the copy to be taken", || {
            (site.client.depth(queue::REQUEST_ERROR) == Some(0)).then_some(())
        });
    };
    put_back();
    assert_eq!(site.errors().len(), 1, "known");
    site.synchronise(&request("S1", "P1"));
    site.no_errors();
    put_back();
    site.nothing_more("M1");
    assert!(site.errors().is_empty(), "still resolved");
}

#[test]
fn without_the_desk_the_messages_stay_for_other_tools() {
    let Some(site) = Site::open() else { return };
    let site = site.with("errors.desk", "false");
    let _bridge = site.start();
    let bad = request("S1", "P1").unmapped();
    site.send(&bad);
    site.negative_reply_to("S1");
    let id = site.error_id("TL2002");
    site.answer_with(&positive("NOBODY", "K"), properties());
    site.error("TL4003");
    let copy = site.client.next(queue::REQUEST_ERROR);
    assert_eq!(copy.header("tieline-error").unwrap(), id);
    assert_eq!(copy.header("tieline-code").unwrap(), "TL2002");
    assert_eq!(copy.body, bad.bytes());
    let copy = site.client.next(queue::ANSWER_ERROR);
    assert_eq!(copy.header("tieline-code").unwrap(), "TL4003");
    // RabbitMQ's own tools can put it back: it is the message as it came.
    site.synchronise(&request("S1", "P1"));
    until("the correction to supersede it", || (site.errors().len() == 1).then_some(()));
}
