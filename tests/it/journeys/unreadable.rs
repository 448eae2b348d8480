//! What cannot be read or translated: parked with every defect, and billing hears at once.

use crate::support::{Site, properties, queue, request};

#[test]
fn what_cannot_be_translated_is_parked_with_every_defect_and_told_at_once() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.tap_errors();
    let request = request("S1", "P1").sp_type("X-UNMAP").time_zone("X-ZONE");
    site.send(&request);

    let reply = site.negative_reply_to("S1");
    let (category, number, _) = reply.exception();
    assert_eq!((category.as_str(), number.as_str()), ("11114", "11401"), "a value map misses");
    assert!(reply.text().contains("TL2002"), "the code: {}", reply.text());

    let id = site.error_id("TL2002");
    let error = site.show_error(&id);
    assert_eq!(error["status"], "open");
    assert_eq!(error["sync_request"], "S1");
    assert_eq!(error["service_point"], "P1");
    assert_eq!(error["group"], "TL2002:location/nodeType");
    let expected = [
        ("location/nodeType", "servicePoint/spType", "X-UNMAP"),
        ("location/timeZone", "servicePoint/timeZone", "X-ZONE"),
    ];
    let defects = error["defects"].as_array().unwrap();
    assert_eq!(defects.len(), expected.len(), "{error}");
    for (defect, (rule, path, value)) in defects.iter().zip(expected) {
        assert_eq!(defect["rule"], rule);
        assert_eq!(defect["path"], path);
        assert_eq!(defect["value"], value);
        assert_eq!(defect["code"], "TL2002");
        let text = request.text();
        let line = text.lines().position(|line| line.contains(value)).unwrap();
        assert_eq!(defect["line"], line + 1, "{defect}");
        assert!(defect["column"].as_u64().is_some_and(|column| column > 0), "{defect}");
        assert!(defect["expected"].as_str().is_some_and(|text| !text.is_empty()), "{defect}");
    }

    let copy = site.client.next(queue::TAP);
    assert_eq!(
        (copy.exchange.as_str(), copy.routing_key.as_str()),
        ("tieline.errors", "request.TL2002")
    );
    assert_eq!(copy.header("tieline-error").unwrap(), id);
    assert_eq!(copy.header("tieline-code").unwrap(), "TL2002");
    assert_eq!(copy.header("tieline-leg").unwrap(), "request");
    assert_eq!(copy.header("tieline-sync-request").unwrap(), "S1");
    assert_eq!(copy.body, request.bytes(), "the message itself, as it came");
    assert_eq!(*copy.properties.delivery_mode(), Some(2));
    site.nothing_more("M1");
}

#[test]
fn a_broken_message_that_names_its_sync_request_is_told_to_billing() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let text = request("S1", "P1").text();
    let cut = text.find("<division>").unwrap();
    site.send_bytes(&text.as_bytes()[..cut]);
    let reply = site.negative_reply_to("S1");
    assert!(reply.text().contains("TL1001"), "{}", reply.text());
    let error = site.error("TL1001");
    assert_eq!(error["sync_request"], "S1");
    site.nothing_more("M1");
}

#[test]
fn a_broken_message_that_names_nobody_is_parked_byte_for_byte_and_told_to_nobody() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let garbage = b"sync request failed:\r\n see attachment \x07";
    site.send_bytes(garbage);
    let id = site.error_id("TL1001");
    assert!(site.show_error(&id)["sync_request"].is_null());
    let shown = site.cli(&["errors", "show", &id, "--payload"]).ended(0);
    assert_eq!(shown.out.as_bytes(), garbage);
    site.nothing_more("M1");
    let shown = site.cli(&["errors", "show", &id]).ended(0);
    assert!(!shown.out.contains('\x07'), "nothing of a message may ring a terminal's bell");
}

#[test]
fn every_kind_of_bad_message_has_its_code_and_delays_nobody() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let good = request("S1", "P1").text();
    let deep = "<a>".repeat(100_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("TL1001", Vec::new()),
        ("TL1006", b"{\"syncRequestId\": \"S1\"}".to_vec()),
        ("TL1003", deep.into_bytes()),
        ("TL1003", vec![b'x'; 9 * 1024 * 1024]),
        ("TL1005", good.replace("spSyncRequest", "personSyncRequest").into_bytes()),
        ("TL2001", good.replace("<spType>E-RES</spType>", "<spType> </spType>").into_bytes()),
        ("TL2003", good.replace("42.694634", "NaN").into_bytes()),
        ("TL2003", good.replace("42.694634", "98.5").into_bytes()),
        ("TL2003", good.replace("2025-03-12</install", "2025-02-30</install").into_bytes()),
        ("TL2004", good.replace("OU_CCB_01", &"OU".repeat(40)).into_bytes()),
        ("TL2005", good.replace("<spType>", "<spType>G-RES</spType><spType>").into_bytes()),
        ("TL1001", good.replace("</spSyncRequest>", "</spSyncRequest><a/>").into_bytes()),
        ("TL1001", good.replace("E-RES", "E-RES\u{1}").into_bytes()),
    ];
    for (number, (code, bytes)) in cases.into_iter().enumerate() {
        let bytes = String::from_utf8(bytes).unwrap().replace("S1", &format!("B{number}"));
        site.send_bytes(bytes.as_bytes());
        let seen = site.error(code);
        let discarded = site.cli(&["errors", "discard", "--all", "--yes", "--reason", "seen"]);
        assert_eq!(discarded.code, 0, "case {number}: {discarded:?}, {seen}");
        let good = request(&format!("G{number}"), &format!("P{number}"));
        site.send(&good);
        site.accept(&good.id);
    }
}

#[test]
fn an_id_that_no_one_could_have_given_is_not_believed() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    for (id, name) in [("123456789012345", "too long"), ("S&#10;1", "a line break"), ("", "none")] {
        site.send(&request("HERE", "P1").description(name));
        site.accept("HERE");
        site.positive_reply_to("HERE");
        let bad = request("HERE", "P1")
            .text()
            .replace("<syncRequestId>HERE", &format!("<syncRequestId>{id}"));
        site.send_bytes(bad.as_bytes());
        let error = crate::support::until(name, || site.errors().into_iter().next());
        assert!(error["sync_request"].is_null(), "{name}: {error}");
        site.cli(&["errors", "discard", "--all", "--yes", "--reason", "seen"]).ended(0);
    }
    site.nothing_more("M1");
}

#[test]
fn a_message_that_says_it_is_no_xml_is_parked_unread() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let bytes = request("S1", "P1").bytes();
    let json = properties().with_content_type("application/json".into());
    site.client.publish(queue::REQUEST, &bytes, json);
    site.error("TL1006");
    let zipped = properties().with_content_encoding("gzip".into());
    site.client.publish(queue::REQUEST, &request("S2", "P2").bytes(), zipped);
    crate::support::until("both to be parked", || (site.errors().len() == 2).then_some(()));
    let none = lapin::BasicProperties::default();
    site.client.publish(queue::REQUEST, &request("S3", "P3").bytes(), none);
    site.location_of("S3");
}
