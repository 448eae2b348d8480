//! What a broker says of itself before anybody has logged in: product, version, cluster.
//!
//! lapin does not pass these on, so they are read from the first frame of a connection of our own,
//! which is then dropped. <https://www.rabbitmq.com/amqp-0-9-1-reference#connection.start>

use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::types::parsing::parse_field_table;
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::timeout;

use super::connection::{Endpoint, PROTOCOL_HEADER};
use super::problem::{ConnectError, ConnectErrorKind};
use super::topology::Version;

/// The largest first frame that is read, in bytes. RabbitMQ's has about 500.
const START_BYTES_MAX: usize = 8 * 1024;

/// What stands before the server's properties in `connection.start`: class and method (10, 10), then
/// the protocol's version.
const START_METHOD: [u8; 6] = [0, 10, 0, 10, 0, 9];

/// What a broker says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Greeting {
    /// For example `RabbitMQ`.
    pub product: Option<String>,
    /// The version, if it is one that can be read.
    pub version: Option<Version>,
    /// The cluster's name.
    pub cluster: Option<String>,
}

/// Asks a broker what it is. Needs no user.
pub async fn greet(endpoint: &Endpoint) -> Result<Greeting, ConnectError> {
    let wait: Duration = endpoint.connect_timeout();
    match timeout(wait, properties(endpoint)).await {
        Err(_) => Err(ConnectError::mute(endpoint)),
        Ok(Err(error)) => Err(ConnectError::of(endpoint, &error)),
        Ok(Ok(None)) => {
            let why = format!("{} does not speak AMQP 0-9-1", endpoint.address());
            Err(ConnectError::new(endpoint, ConnectErrorKind::Other, why))
        }
        Ok(Ok(Some(said))) => Ok(Greeting {
            product: text(&said, "product"),
            version: text(&said, "version").and_then(|version| version.parse().ok()),
            cluster: text(&said, "cluster_name"),
        }),
    }
}

async fn properties(endpoint: &Endpoint) -> lapin::Result<Option<FieldTable>> {
    let mut stream = endpoint.dial().await?;
    stream.write_all(PROTOCOL_HEADER).await?;
    stream.flush().await?;
    // A frame: type, channel, size, then so many bytes, then an end mark.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let [1, 0, 0, size @ ..] = head else { return Ok(None) };
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if size > START_BYTES_MAX {
        return Ok(None);
    }
    let mut body = vec![0; size];
    stream.read_exact(&mut body).await?;
    let table = body.strip_prefix(&START_METHOD);
    Ok(table.and_then(|table| parse_field_table(table).ok()).map(|(_, table)| table))
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}
