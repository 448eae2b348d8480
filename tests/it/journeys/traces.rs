//! One trace spans request, location, answer and reply: what a collector gets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::support::{Site, request};

/// How long the last spans may take after the bridge has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first bytes of a span in OTLP's protobuf: field 1 (`trace_id`), 16 bytes.
/// <https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto>
const TRACE_ID: [u8; 2] = [0x0a, 16];

#[test]
fn one_trace_spans_request_location_answer_and_reply() {
    let Some(site) = Site::open() else { return };
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let exports = collect(collector);
    let site = site.with("telemetry.otlp_endpoint", &endpoint);
    let bridge = site.start();
    let (location, reply) = site.synchronise(&request("S1", "P1"));
    assert_eq!(bridge.stop().code, Some(0));

    let mut spans = Vec::new();
    let names = ["receive request", "publish location", "receive answer", "publish reply"];
    while !names.iter().all(|name| find(&spans, name.as_bytes())) {
        let (path, body) = exports.recv_timeout(PATIENCE).unwrap();
        assert_eq!(path, "/v1/traces");
        spans.extend(body);
    }
    // The trace travelled with the messages, and it is the only one.
    let sent = location.header("traceparent").unwrap();
    let trace = sent.split('-').nth(1).unwrap();
    assert_eq!(reply.header("traceparent").unwrap().split('-').nth(1), Some(trace));
    let trace: Vec<u8> = (0..16)
        .map(|byte| u8::from_str_radix(&trace[byte * 2..byte * 2 + 2], 16).unwrap())
        .collect();
    let span = [&TRACE_ID[..], &trace].concat();
    assert_eq!(spans.windows(span.len()).filter(|window| *window == span).count(), names.len());
}

fn find(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|window| window == name)
}

/// Takes what is posted, until the test ends.
fn collect(listener: TcpListener) -> Receiver<(String, Vec<u8>)> {
    let (posted, exports) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let posted = posted.clone();
            thread::spawn(move || {
                let mut stream = stream;
                while let Some(export) = take(&mut stream) {
                    if posted.send(export).is_err() {
                        return;
                    }
                }
            });
        }
    });
    exports
}

/// One call over HTTP/1.1 with a content length: its path and body.
fn take(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    Some((head.split_whitespace().nth(1)?.to_owned(), body))
}
