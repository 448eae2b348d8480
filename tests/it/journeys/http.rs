//! Health and metrics over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use serde_json::Value;

use crate::support::{Raw, Site, queue, request, until};

/// An address at which nobody listens now.
pub(super) fn free_address() -> String {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string()
}

/// The status and body of a page.
pub(super) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // A chunked body is still readable enough to look for lines in it.
    (status, body.to_owned())
}

/// What `/health/ready` says.
pub(super) fn ready(address: &str) -> (u16, Value) {
    let (status, body) = get(address, "/health/ready");
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn health_and_metrics_tell_how_it_stands() {
    let Some(site) = Site::open() else { return };
    let address = free_address();
    let site = site.with("http.listen", &address).with("unreachable.park_after", "never");
    let bridge = site.start();
    assert_eq!(get(&address, "/health/live").0, 200);
    until("the bridge to be ready", || {
        let (status, report) = ready(&address);
        (status == 200 && report["status"] == "ready").then_some(())
    });
    site.synchronise(&request("S1", "P1"));
    site.send(&request("S2", "P2").unmapped());
    site.negative_reply_to("S2");
    let expected = [
        "tieline_requests{state=\"applied\"} 1",
        "tieline_requests{state=\"parked\"} 1",
        "tieline_errors_open{code=\"TL2002\"} 1",
        "tieline_lane_open{lane=\"location\"} 1",
        "tieline_requests_received_total{result=\"pending\"} 1",
        "tieline_requests_received_total{result=\"parked\"} 1",
    ];
    until("the metrics to count", || {
        let (status, metrics) = get(&address, "/metrics");
        (status == 200 && expected.iter().all(|line| metrics.contains(line))).then_some(())
    });
    let (_, metrics) = get(&address, "/metrics");
    assert!(!metrics.contains("S1") && !metrics.contains("P1"), "no ids in labels: {metrics}");

    // A leg that is out is shown; what comes in is still taken.
    site.client.delete(queue::LOCATION);
    site.send(&request("S3", "P3"));
    until("the outage to be shown", || {
        let (status, report) = ready(&address);
        let told = report.to_string().contains("TL3001");
        (status == 200 && report["status"] == "degraded" && told).then_some(())
    });
    assert!(get(&address, "/metrics").1.contains("tieline_lane_open{lane=\"location\"} 0"));
    site.cli(&["queues", "declare", "--yes", "--reason", "mended"]).ended(0);
    site.accept("S3");
    site.positive_reply_to("S3");
    until("the leg to be open again", || (ready(&address).1["status"] == "ready").then_some(()));

    let ended = {
        let second = Site::open().unwrap().with("http.listen", &address);
        second.start_in_vain()
    };
    assert_eq!(ended.code, Some(10), "{ended:?}");
    ended.says(&["http.listen"]);
    assert_eq!(bridge.stop().code, Some(0));
}

/// Only the bridge itself knows how its consumers are, so the doctor asks it.
#[test]
fn health_doctor_and_metrics_tell_what_was_read_with_care() {
    let Some(site) = Site::open() else { return };
    let address = free_address();
    let site = site.with("http.listen", &address);
    let bridge = site.start();
    // A correlation id in ISO-8859-1.
    let body = request("S1", "P1").bytes();
    Raw::connect(&site.url).publish(queue::REQUEST, b"\x04\0\x05caf\xe9!", &body);
    site.negative_reply_to("S1");
    let told = "read with care: 1, of them unreadable: 1";
    until("health to tell", || {
        let (status, report) = ready(&address);
        (status == 200 && report.to_string().contains(told)).then_some(())
    });
    let counted = "tieline_read_with_care_total{queue=\"ccb.sp.request\",result=\"unreadable\"} 1";
    assert!(get(&address, "/metrics").1.contains(counted));
    site.cli(&["doctor"]).ended(0).says(&["bridge: consumer ccb.sp.request", told]);
    let id = site.error_id("TL1007");
    site.cli(&["errors", "show", &id]).says(&["raw properties", "bytes: ", "\\x05caf\\xe9!"]);
    bridge.stop();
    let doctor = site.cli(&["doctor"]).ended(0);
    assert!(!doctor.out.contains("bridge:"), "{}", doctor.out);
}
