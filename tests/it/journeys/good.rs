//! What is good goes through, and what asset management refuses goes back to billing.

use crate::support::{Refusal, Site, negative, positive, properties, queue, request};

#[test]
fn a_good_request_becomes_one_asset_location_and_one_positive_reply() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("85810617092033", "3996166619"));

    let location = site.location_of("85810617092033");
    let root = location.xml();
    assert_eq!(root.name, "W1-SyncRequestInbound");
    assert_eq!(root.namespace, "urn:tieline:wam:sync-inbound:1");
    assert_eq!(root.at("externalSystem"), "OU_CCB_01");
    assert_eq!(root.at("externalPkValue1"), "3996166619");
    assert_eq!(root.at("targetMo"), "W1-NODE");
    assert_eq!(root.at("location/nodeType"), "RES-METER-SOCKET");
    assert_eq!(root.at("location/timeZone"), "America/New_York");
    assert_eq!(root.at("location/status"), "ACTIVE");
    assert_eq!(root.at("location/serviceArea"), "NORTH");
    assert_eq!(root.at("location/address/country"), "US");

    site.answer(&location, &positive("85810617092033", "000154730872"));
    let reply = site.positive_reply_to("85810617092033");
    let root = reply.xml();
    assert_eq!(root.name, "F1-UpdateAndTransitionSyncRequest");
    assert_eq!(root.namespace, "urn:tieline:ccb:sync-ack:1");
    assert_eq!(root.at("externalIds/entityIdList/items/entity"), "ASSET-LOCATION");
    assert_eq!(root.at("externalIds/entityIdList/items/externalPk1"), "000154730872");
    assert!(root.find("exceptionInfo").is_empty(), "{}", reply.text());

    site.nothing_more("M1");
    assert_eq!(site.errors(), Vec::<serde_json::Value>::new());
    site.request_is("85810617092033", "applied");
}

#[test]
fn a_request_may_come_by_the_exchange_and_under_any_prefix() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let request = request("S1", "P1").prefix("ccb");
    site.client.publish_to("tieline.in", queue::REQUEST, &request.bytes(), properties());
    let location = site.location_of("S1");
    assert_eq!(location.at("location/nodeType"), "RES-METER-SOCKET");
    let answer = positive("S1", "K1");
    let correlated = properties().with_correlation_id(location.correlation_id().into());
    site.client.publish_to("tieline.in", queue::ANSWER, &answer, correlated);
    site.positive_reply_to("S1");
}

#[test]
fn an_item_becomes_a_connected_asset_with_the_default_cost_centre() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").category("D1IT").sp_type("L-STREET"));
    let root = site.accept("S1").xml();
    assert_eq!(root.name, "W1-SyncRequestInbound");
    assert!(root.find("location").is_empty(), "an item is no location");
    assert_eq!(root.at("asset/assetType"), "STREET-LIGHT");
    assert_eq!(root.at("asset/costCenter"), "CC-ITEM-DEFAULT");
    site.positive_reply_to("S1");
}

#[test]
fn a_refusal_reaches_billing_through_the_error_map_or_by_the_generic_error() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1"));
    let location = site.location_of("S1");
    let refusal = Refusal { category: 11502, number: 13001, parameters: &["E-RES", "NORTH"] };
    site.answer(&location, &negative("S1", refusal));
    let reply = site.negative_reply_to("S1");
    let exception = reply.exception();
    assert_eq!(exception, ("11114".into(), "11501".into(), "E-RES".into()));
    let values = reply.xml().find("exceptionInfo/items/messageParameters/items");
    assert_eq!(values[1].at("messageParameterValue"), "NORTH");
    assert_eq!(values[1].at("parameterSequence"), "2");

    site.send(&request("S2", "P2"));
    let location = site.location_of("S2");
    let refusal = Refusal { category: 11502, number: 13999, parameters: &["129 &amp; Sutter"] };
    site.answer(&location, &negative("S2", refusal));
    let reply = site.negative_reply_to("S2");
    let exception = reply.exception();
    assert_eq!(exception, ("11114".into(), "11001".into(), "129 & Sutter".into()));
    let comments = reply.at("exceptionInfo/items/comments");
    assert!(comments.contains("11502") && comments.contains("13999"), "{comments}");

    site.nothing_more("M1");
    assert_eq!(site.errors(), Vec::<serde_json::Value>::new(), "billing mends and resends");
    site.request_is("S1", "rejected");
}
