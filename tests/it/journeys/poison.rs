//! Messages that the client library cannot read, or not twice: one stops itself and nothing else.

use std::collections::BTreeSet;

use crate::support::{Raw, Refusal, Site, long, negative, positive, queue, request, until};

/// The flags of properties that have one alone.
const HEADERS: [u8; 2] = [0x20, 0];
const CORRELATION_ID: [u8; 2] = [0x04, 0];
const MESSAGE_ID: [u8; 2] = [0, 0x80];

/// In ISO-8859-1, as some senders have it.
const BAD_ID: &[u8] = b"\x05caf\xe9!";

fn with(flags: [u8; 2], value: &[u8]) -> Vec<u8> {
    [&flags[..], value].concat()
}

#[test]
fn a_request_whose_correlation_id_is_no_utf8_is_parked_and_the_next_goes_on() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let first = request("S1", "P1");
    let mut raw = Raw::connect(&site.url);
    raw.publish(queue::REQUEST, &with(CORRELATION_ID, BAD_ID), &first.bytes());
    site.send(&request("S2", "P2"));
    site.accept("S2");
    let refused = site.negative_reply_to("S1");
    assert!(refused.text().contains("TL1007"), "{}", refused.text());
    assert_eq!(refused.correlation_id(), "S1", "what it gave cannot be read");
    let id = site.error_id("TL1007");
    let shown = site.show_error(&id).to_string();
    assert!(shown.contains("correlation_id: found 'caf\u{fffd}!', expected UTF-8"), "{shown}");
    site.positive_reply_to("S2");
    // Billing mends its sender and sends the same content again.
    site.synchronise(&first);
    site.no_errors();
    drop(bridge);
}

#[test]
fn an_answer_with_a_header_whose_name_is_no_utf8_is_parked_and_the_next_goes_on() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    site.location_of("S1");
    let mut raw = Raw::connect(&site.url);
    let headers = with(HEADERS, &long(b"\x02\xff\xfeV"));
    let refusal = Refusal { category: 1, number: 2, parameters: &[] };
    raw.publish(queue::ANSWER, &headers, &negative("S1", refusal));
    site.synchronise(&request("S2", "P2"));
    let id = site.error_id("TL4006");
    site.request_is("S1", "published");
    // Its body names the sync request, so that the operator can have it counted all the same.
    site.retry(&id).ended(0);
    site.negative_reply_to("S1");
    raw.publish(queue::ANSWER, &with(MESSAGE_ID, BAD_ID), &positive("S9", "K"));
    site.synchronise(&request("S3", "P3"));
    assert_eq!(site.error("TL4006")["code"], "TL4006");
}

#[test]
fn an_unreadable_message_on_an_error_queue_does_not_stop_the_desk() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let mut raw = Raw::connect(&site.url);
    for error_queue in [queue::REQUEST_ERROR, queue::ANSWER_ERROR] {
        raw.publish(error_queue, &with(MESSAGE_ID, BAD_ID), b"<what/>");
        raw.publish(error_queue, &with(MESSAGE_ID, b"\x02m1"), b"<ever/>");
    }
    until("four records of what lay on the error queues", || {
        let found = site.errors();
        let foreign = found.iter().filter(|error| error["code"] == "TL6002").count();
        (foreign == 4).then_some(())
    });
}

#[test]
fn headers_thousands_deep_do_not_end_the_process() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let mut raw = Raw::connect(&site.url);
    // Three times as deep fits a frame, and passes too; a debug build takes a minute for that.
    let mut table = b"\x01xV".to_vec();
    for _ in 0..4_000 {
        table = [b"\x01tF", &long(&table)[..]].concat();
    }
    let mut array = b"V".to_vec();
    for _ in 0..6_000 {
        array = [b"A", &long(&array)[..]].concat();
    }
    for (name, headers) in [("S1", table), ("S2", [b"\x01a", &array[..]].concat())] {
        let properties = with(HEADERS, &long(&headers));
        raw.publish(queue::REQUEST, &properties, &request(name, name).bytes());
        site.accept(name);
        site.positive_reply_to(name);
    }
    site.no_errors();
    assert_eq!(bridge.stop().code, Some(0));
}

#[test]
fn headers_that_no_longer_fit_a_frame_when_they_come_again_stop_nothing() {
    let Some(site) = Site::open() else { return };
    site.start().stop();
    // All that fits a frame of 131072 bytes, but for less than a header.
    let filling = [b"\x01hS", &long(&vec![b'x'; 131_030])[..]].concat();
    let mut raw = Raw::connect(&site.url);
    let properties = with(HEADERS, &long(&filling));
    raw.publish(queue::REQUEST, &properties, &request("S1", "P1").bytes());
    site.send(&request("S2", "P2"));
    // Now the broker counts its deliveries, in a header more.
    for _ in 0..2 {
        Raw::connect(&site.url).take_and_hang_up(queue::REQUEST);
    }
    let bridge = site.start();
    bridge.logs("reading with care now");
    for name in ["S1", "S2"] {
        site.accept(name);
        site.positive_reply_to(name);
    }
    site.no_errors();
}

#[test]
fn one_among_hundreds_stops_none_of_them() {
    let Some(site) = Site::open() else { return };
    site.start().stop();
    let mut raw = Raw::connect(&site.url);
    for n in 0..300 {
        let id = if n == 200 { BAD_ID } else { b"\x02ok" };
        let name = format!("S{n}");
        raw.publish(queue::REQUEST, &with(CORRELATION_ID, id), &request(&name, &name).bytes());
    }
    let bridge = site.start();
    for n in (0..300).filter(|n| *n != 200) {
        site.location_of(&format!("S{n}"));
    }
    site.negative_reply_to("S200");
    let interrupted = bridge.stop().log;
    let interrupted = interrupted.iter().filter(|line| line.contains("interrupted")).count();
    assert_eq!(interrupted, 1, "once, and then it is through");
}

#[test]
fn killed_among_unreadable_messages_it_loses_none_and_takes_none_twice() {
    let Some(site) = Site::open() else { return };
    site.start().stop();
    let mut raw = Raw::connect(&site.url);
    for n in 0..60 {
        let name = format!("S{n}");
        let properties = match n % 20 {
            10 => with(CORRELATION_ID, BAD_ID),
            _ => with(CORRELATION_ID, b"\x02ok"),
        };
        raw.publish(queue::REQUEST, &properties, &request(&name, &name).bytes());
    }
    let mut bridge = site.start();
    bridge.logs("TL1007");
    bridge.kill();
    bridge = site.start();
    // What was on its way when it was killed may come twice, to either side.
    let mut answered = BTreeSet::new();
    while answered.len() < 57 {
        let location = site.client.next(queue::LOCATION);
        if answered.insert(location.sync_request()) {
            site.answer(&location, &positive(&location.sync_request(), "K"));
        }
    }
    let expected: BTreeSet<_> = (0..60).map(|n| (format!("S{n}"), n % 20 != 10)).collect();
    let mut told = BTreeSet::new();
    while told.len() < expected.len() {
        let reply = site.client.next(queue::REPLY);
        told.insert((reply.sync_request(), reply.is_positive()));
    }
    assert_eq!(told, expected);
    assert_eq!(site.errors().len(), 3);
    assert_eq!(bridge.stop().code, Some(0));
}
