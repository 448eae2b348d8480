//! Shovels: the broker's own way to move messages from queue to queue, made by the management API.
//! <https://www.rabbitmq.com/docs/shovel-dynamic>

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use xtask::broker::Node;

use crate::Result;
use crate::site::queue;
use crate::wire::WINDOW;

/// How long the management API may take to answer.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Where the API keeps the one shovel of a run.
const PATH: &str = "/api/parameters/shovel/%2f/bench";

/// The user and password `guest`, as HTTP has them (basic authentication).
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// How a shovel reaches the broker that it runs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// By TCP over the loopback device, as any program.
    Network,
    /// By the Erlang client within the broker: no sockets, no frames.
    Direct,
}

/// Starts a shovel from the request queue to the location queue.
pub(crate) fn start(node: &Node, way: Way) -> Result<()> {
    let uri = match way {
        Way::Network => node.amqp_url(),
        Way::Direct => "amqp:///%2f".to_owned(),
    };
    let shovel = json!({"value": {
        "src-protocol": "amqp091",
        "src-uri": uri,
        "src-queue": queue::REQUEST,
        "src-prefetch-count": WINDOW,
        "dest-protocol": "amqp091",
        "dest-uri": uri,
        "dest-queue": queue::LOCATION,
        "ack-mode": "on-confirm",
    }});
    ask(node, "PUT", &shovel.to_string())
}

/// Ends it.
pub(crate) fn stop(node: &Node) -> Result<()> {
    ask(node, "DELETE", "")
}

/// Asks the management API for one thing. By hand, because it is one request without answer: an
/// HTTP client would want a TLS stack first.
fn ask(node: &Node, method: &str, body: &str) -> Result<()> {
    let url = node.management_url().ok_or("the broker has no management plugin")?;
    let address = url.rsplit_once('@').ok_or("no address in the management URL")?.1;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    write!(
        stream,
        "{method} {PATH} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {GUEST}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    if status.contains(" 20") {
        Ok(())
    } else {
        Err(format!("{method} {PATH}: found `{answer}`, expected success").into())
    }
}
