//! What cannot be read or translated: parked with every defect, and billing hears at once. Every
//! kind of it is a row in `tests/it/inputs/`.

use crate::support::{Site, queue, request};

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
