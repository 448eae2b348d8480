//! A consumer that gives one message after the other.

use std::io;
use std::time::Duration;

use futures_util::AsyncWriteExt as _;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::super::connection::{Endpoint, PROTOCOL_HEADER, Wire};
use super::frames::{self, BODY, Frame, HEADER, METHOD, Reading, WAIT_MAX, Writing};
use super::properties;
use crate::bridge::Arrival;

/// The channel.
const CHANNEL: u16 = 1;

/// The largest message that is read, in bytes; RabbitMQ's own limit was 128 MiB until 4.0.
const BODY_BYTES_MAX: u64 = 128 << 20;

/// Methods, as class and number.
type Method = (u16, u16);
const START: Method = (10, 10);
const TUNE: Method = (10, 30);
const OPEN_OK: Method = (10, 41);
const CLOSE: Method = (10, 50);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);
const CHANNEL_CLOSE_OK: Method = (20, 41);
const QOS_OK: Method = (60, 11);
const CONSUME_OK: Method = (60, 21);
const CANCEL: Method = (60, 30);
const DELIVER: Method = (60, 60);

/// A delivery, and the tag by which it is settled.
pub(in super::super) struct Delivered {
    pub(in super::super) arrival: Arrival,
    tag: u64,
}

/// A connection with one channel and one consumer.
pub(in super::super) struct Reader {
    stream: Wire,
    /// What has come of the next frame.
    begun: Vec<u8>,
}

impl Reader {
    /// Connects and begins to consume a queue.
    pub(in super::super) async fn open(
        endpoint: &Endpoint,
        queue: &str,
        prefetch: u16,
    ) -> io::Result<Self> {
        let stream = endpoint.dial().await?;
        let mut reader = Self { stream, begun: Vec::new() };
        timeout(WAIT_MAX, reader.begin(endpoint, queue, prefetch)).await??;
        Ok(reader)
    }

    async fn begin(&mut self, endpoint: &Endpoint, queue: &str, prefetch: u16) -> io::Result<()> {
        self.stream.write_all(PROTOCOL_HEADER).await?;
        self.expect(START).await?;
        let start_ok = Writing::method(10, 11)
            .long(0)
            .short_string("PLAIN")
            .long_string(endpoint.plain_response().expose_secret().as_bytes())
            .short_string("en_US");
        self.write(0, start_ok).await?;
        let tune = self.expect(TUNE).await?;
        let mut tune = Reading(&tune);
        let (channels, frame) = (tune.short().unwrap_or(0), tune.long().unwrap_or(0));
        // No heartbeat: nothing here lasts long enough.
        self.write(0, Writing::method(10, 31).short(channels).long(frame).short(0)).await?;
        let open = Writing::method(10, 40).short_string(endpoint.vhost()).byte(0).byte(0);
        self.write(0, open).await?;
        self.expect(OPEN_OK).await?;
        self.write(CHANNEL, Writing::method(20, 10).byte(0)).await?;
        self.expect(CHANNEL_OPEN_OK).await?;
        self.write(CHANNEL, Writing::method(60, 10).long(0).short(prefetch).byte(0)).await?;
        self.expect(QOS_OK).await?;
        let consume = Writing::method(60, 20).short(0).short_string(queue).short_string("");
        self.write(CHANNEL, consume.byte(0).long(0)).await?;
        self.expect(CONSUME_OK).await?;
        Ok(())
    }

    /// The next delivery, or nothing if none comes for so long. Given up half-way, the rest of it is
    /// passed over by [`Self::close`].
    pub(in super::super) async fn next(
        &mut self,
        patience: Duration,
    ) -> io::Result<Option<Delivered>> {
        match self.method(patience).await {
            Ok((DELIVER, arguments)) => self.content(&arguments).await.map(Some),
            Ok((found, _)) => Err(refused(found, DELIVER)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && self.begun.is_empty() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what follows a `basic.deliver`: the properties, then the body.
    async fn content(&mut self, deliver: &[u8]) -> io::Result<Delivered> {
        let short = || invalid("a delivery that ends too early");
        let mut raw = Reading(deliver);
        let mut head = || {
            raw.short_string()?;
            let tag = raw.long_long()?;
            raw.byte()?;
            Some((tag, raw.short_string()?, raw.short_string()?))
        };
        let (tag, exchange, routing_key) = head().ok_or_else(short)?;
        let header = self.frame(HEADER, WAIT_MAX).await?;
        let mut raw = Reading(&header.payload);
        let size = raw.long().and_then(|_| raw.long_long()).ok_or_else(short)?;
        if size > BODY_BYTES_MAX {
            return Err(invalid(&format!("a body of {size} bytes, at most {BODY_BYTES_MAX}")));
        }
        let mut properties = properties::read(raw.0);
        properties.exchange = String::from_utf8_lossy(exchange).into_owned();
        properties.routing_key = String::from_utf8_lossy(routing_key).into_owned();
        let mut payload = Vec::new();
        while (payload.len() as u64) < size {
            payload.extend(self.frame(BODY, WAIT_MAX).await?.payload);
        }
        Ok(Delivered { arrival: Arrival { payload, properties }, tag })
    }

    /// Settles a delivery and all before it.
    pub(in super::super) async fn settle(&mut self, delivered: u64) -> io::Result<()> {
        self.write(CHANNEL, Writing::method(60, 80).long_long(delivered).byte(1)).await
    }

    /// Closes the channel and the connection; what was settled is settled on the broker then.
    pub(in super::super) async fn close(mut self) -> io::Result<()> {
        let close = |class, method| {
            Writing::method(class, method).short(200).short_string("done").short(0).short(0)
        };
        self.write(CHANNEL, close(20, 40)).await?;
        let closed = async {
            loop {
                // What was delivered meanwhile goes back.
                if let (CHANNEL_CLOSE_OK, _) = self.method(WAIT_MAX).await? {
                    return Ok::<_, io::Error>(());
                }
            }
        };
        timeout(WAIT_MAX, closed).await??;
        self.write(0, close(10, 50)).await
    }

    async fn write(&mut self, channel: u16, method: Writing) -> io::Result<()> {
        timeout(WAIT_MAX, frames::write(&mut self.stream, channel, method)).await?
    }

    /// Waits for a method and returns its arguments.
    async fn expect(&mut self, expected: Method) -> io::Result<Vec<u8>> {
        match self.method(WAIT_MAX).await? {
            (found, arguments) if found == expected => Ok(arguments),
            (found, _) => Err(refused(found, expected)),
        }
    }

    /// The next method; heartbeats, and the rest of what nobody waits for, are passed over.
    async fn method(&mut self, patience: Duration) -> io::Result<(Method, Vec<u8>)> {
        let frame = self.frame(METHOD, patience).await?;
        let mut raw = Reading(&frame.payload);
        let method =
            raw.short().zip(raw.short()).ok_or_else(|| invalid("a method without a name"))?;
        let arguments = raw.0.to_vec();
        match method {
            CLOSE | CHANNEL_CLOSE => Err(said(&arguments)),
            CANCEL => Err(invalid("the end of the consumer; was the queue deleted?")),
            method => Ok((method, arguments)),
        }
    }

    async fn frame(&mut self, kind: u8, patience: Duration) -> io::Result<Frame> {
        loop {
            let frame = frames::read(&mut self.stream, &mut self.begun, patience).await?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }
}

impl Delivered {
    /// The tag to settle it by, and the message.
    pub(in super::super) fn into_parts(self) -> (u64, Arrival) {
        (self.tag, self.arrival)
    }
}

/// What the broker says when it closes a channel or a connection.
fn said(arguments: &[u8]) -> io::Error {
    let mut raw = Reading(arguments);
    let code = raw.short().unwrap_or(0);
    let text = raw.short_string().map(String::from_utf8_lossy).unwrap_or_default();
    io::Error::other(format!("the broker closed it: {code} {text}"))
}

fn refused(found: Method, expected: Method) -> io::Error {
    invalid(&format!("method {found:?}, expected {expected:?}"))
}

fn invalid(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("found {found}"))
}
