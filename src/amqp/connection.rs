//! One connection to a broker: opened with a time limit, watched, closed cleanly or cut.
//!
//! lapin runs a thread per connection, which waits for a broker that stays mute for ever, and
//! which writes nothing, not even `connection.close`, while the broker blocks publishers. So the
//! socket is dialled here and a second handle to it is kept: [`Link::cut`] ends the connection at
//! once in every state, its thread with it, and nothing that was queued can go out later.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::{AsyncRead, AsyncWrite, FutureExt as _, Stream, StreamExt as _};
use lapin::tcp::{AMQPUriTcpExt as _, AsyncTcpStream, OwnedTLSConfig, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::problem::{ConnectError, sentence};

/// The first bytes of every AMQP 0-9-1 connection.
pub(super) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";

/// The largest frame, in bytes; RabbitMQ's own default. Said explicitly because lapin otherwise
/// allocates for the largest that a broker may propose.
const FRAME_BYTES_MAX: u32 = 131_072;

/// How often the broker is heard from at least, in seconds. After twice that it counts as dead.
/// <https://www.rabbitmq.com/docs/heartbeats>
const HEARTBEAT_SECONDS: u16 = 10;

/// How long a clean close may take before the connection is cut.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// A broker and how to reach it. Shows itself without user and password.
#[derive(Clone)]
pub struct Endpoint {
    name: String,
    uri: AMQPUri,
    tls: OwnedTLSConfig,
    /// In force where the URL tells none.
    heartbeat_seconds: u16,
    connect_timeout: Duration,
}

/// Why an AMQP URL was not taken. Never holds the URL: there is a password in it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the AMQP URL of {name} cannot be read: expected amqp://user:password@host:5672/vhost, or \
     amqps:// for TLS; what is special in user, password or vhost stands percent-encoded (%2f is /)"
)]
pub struct EndpointError {
    name: String,
}

impl Endpoint {
    /// Reads an AMQP URL. `name` tells people which side this is, for example `billing`.
    ///
    /// The frame size (131072 bytes) and the heartbeat may be given by the URL's query:
    /// `?heartbeat=30&frame_max=65536`. <https://www.rabbitmq.com/docs/uri-query-parameters>
    pub fn new(name: &str, url: &SecretString) -> Result<Self, EndpointError> {
        let wrong = || EndpointError { name: name.to_owned() };
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| wrong())?;
        if let Some(host) = literal_ipv6(url.expose_secret()) {
            host.clone_into(&mut uri.authority.host);
        }
        uri.query.frame_max.get_or_insert(FRAME_BYTES_MAX);
        let (tls, connect_timeout) = (OwnedTLSConfig::default(), Duration::from_secs(10));
        let heartbeat_seconds = HEARTBEAT_SECONDS;
        Ok(Self { name: name.to_owned(), uri, tls, heartbeat_seconds, connect_timeout })
    }

    /// The same with frames of at most this many bytes: lapin keeps buffers of several for each
    /// connection, and only who takes messages of others must be ready for the largest headers.
    pub(super) fn with_frames_of(mut self, bytes: u32) -> Self {
        let named = self.uri.query.frame_max.unwrap_or(bytes);
        self.uri.query.frame_max = Some(named.min(bytes));
        self
    }

    /// Trusts these certificates (PEM) besides those of the system, for `amqps://`.
    #[must_use]
    pub fn with_certificates(mut self, pem: String) -> Self {
        self.tls.cert_chain = Some(pem);
        self
    }

    /// Sets the heartbeat, in whole seconds, at least 1 s, where the URL tells none; 10 s unless
    /// told.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat: Duration) -> Self {
        let seconds = u16::try_from(heartbeat.as_secs()).unwrap_or(u16::MAX);
        self.heartbeat_seconds = seconds.max(1);
        self
    }

    /// Sets how long opening a connection may take in all; 10 s unless told.
    #[must_use]
    pub fn with_connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// The URL with everything that a connection is opened with.
    fn dialled(&self) -> AMQPUri {
        let mut uri = self.uri.clone();
        uri.query.heartbeat.get_or_insert(self.heartbeat_seconds);
        uri
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Host and port.
    pub fn address(&self) -> String {
        let authority = &self.uri.authority;
        if authority.host.contains(':') {
            format!("[{}]:{}", authority.host, authority.port)
        } else {
            format!("{}:{}", authority.host, authority.port)
        }
    }

    /// The virtual host.
    pub fn vhost(&self) -> &str {
        &self.uri.vhost
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.uri.authority.host.as_str(), "localhost" | "127.0.0.1" | "::1")
    }

    /// The user that connects.
    pub fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    /// How TLS is done, if it is.
    pub(super) fn tls(&self) -> TLSConfig<'_, '_, '_> {
        self.tls.as_ref()
    }

    /// Whether it is reached over TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }

    /// The user's password.
    pub(super) fn password(&self) -> SecretString {
        self.uri.authority.userinfo.password.clone().into()
    }

    /// How long opening a connection may take in all.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Opens a connection of bytes, for who speaks AMQP on it without lapin.
    pub(super) async fn dial(&self) -> io::Result<Wire> {
        let runtime = lapin::runtime::default_runtime().map_err(io::Error::other)?;
        let dialling = self.uri.connect_with_config_async(self.tls(), &runtime);
        Ok(Box::new(timeout(self.connect_timeout, dialling).await??))
    }

    /// User and password as the mechanism PLAIN sends them.
    pub(super) fn plain_response(&self) -> SecretString {
        let AMQPUserInfo { username, password } = &self.uri.authority.userinfo;
        format!("\0{username}\0{password}").into()
    }

    /// Opens a connection; `purpose` is shown in the broker's list of connections.
    pub(super) async fn connect(&self, purpose: &str) -> Result<Link, ConnectError> {
        let socket = Arc::new(Socket::default());
        let opening = self.open(purpose, Arc::clone(&socket));
        match timeout(self.connect_timeout, opening).await {
            Ok(Ok(connection)) => Ok(Link::new(connection, socket)),
            Ok(Err(error)) => Err(ConnectError::of(self, &error)),
            Err(_) => {
                socket.cut();
                Err(ConnectError::mute(self))
            }
        }
    }

    async fn open(&self, purpose: &str, socket: Arc<Socket>) -> lapin::Result<Connection> {
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("tieline {purpose}").into())
            .with_client_property("product".into(), "tieline".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let (uri, tls, wait) = (self.dialled(), self.tls.clone(), self.connect_timeout);
        let runtime = lapin::runtime::default_runtime()?;
        // Runs on lapin's thread, so it needs a limit of its own: the one around the whole opening
        // can only cut a socket that is there.
        Connection::connector(
            uri,
            runtime,
            async move |uri: AMQPUri, runtime| {
                let dialling = async {
                    let host = uri.authority.host.clone();
                    let found = lookup_host((host.as_str(), uri.authority.port)).await?;
                    let addresses: Vec<SocketAddr> = found.collect();
                    let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        socket.hold(plain.get_ref())?;
                    }
                    match uri.scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => stream.into_tls(&host, tls.as_ref()).await,
                    }
                };
                match timeout(wait, dialling).await {
                    Ok(dialled) => dialled.map_err(lapin::Error::from),
                    Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                }
            },
            properties,
        )
        .await
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} {self})", self.name)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address();
        write!(f, "{}://{address}/{}", self.uri.scheme, self.vhost().replace('/', "%2F"))
    }
}

/// The host of a URL if it is an IPv6 address in brackets, which lapin's parser does not see.
fn literal_ipv6(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next()?;
    host.strip_prefix('[')?.split(']').next()
}

/// A connection of bytes, encrypted or not.
pub(super) type Wire = Box<dyn Duplex>;

/// What is read and written.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A second handle to a connection's socket.
#[derive(Default)]
struct Socket(Mutex<Option<TcpStream>>);

impl Socket {
    fn hold(&self, stream: &impl AsFd) -> io::Result<()> {
        let handle = TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        Ok(())
    }

    /// Ends the connection at once, in both directions.
    fn cut(&self) {
        if let Some(handle) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The only error is that the other side was faster.
            handle.shutdown(Shutdown::Both).ok();
        }
    }
}

/// An open connection. Dropping it cuts it.
pub(super) struct Link {
    connection: Connection,
    socket: Arc<Socket>,
    events: Mutex<Events>,
}

struct Events {
    stream: Pin<Box<dyn Stream<Item = Event> + Send>>,
    blocked_because: String,
}

impl Link {
    fn new(connection: Connection, socket: Arc<Socket>) -> Self {
        let stream = Box::pin(connection.events_listener());
        let events = Mutex::new(Events { stream, blocked_because: String::new() });
        Self { connection, socket, events }
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// Whether the connection is usable, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Why the broker blocks publishers on this connection, if it does: it is low on memory or
    /// disk. <https://www.rabbitmq.com/docs/connection-blocked>
    pub(super) fn blocked(&self) -> Option<String> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Some(event)) = events.stream.next().now_or_never() {
            if let Event::ConnectionBlocked(reason) = event {
                events.blocked_because = reason;
            }
        }
        self.connection.status().blocked().then(|| events.blocked_because.clone())
    }

    /// Returns when the broker blocks publishers on this connection, with its reason.
    pub(super) async fn until_blocked(&self) -> String {
        poll_fn(|cx| {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            while let Poll::Ready(event) = events.stream.poll_next_unpin(cx) {
                match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        events.blocked_because.clone_from(&reason);
                        return Poll::Ready(reason);
                    }
                    Some(_) => {}
                    None => return Poll::Pending,
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Closes the connection and waits for the broker's word, so that all that was sent on it has
    /// been taken; cuts it if that takes longer than 5 s.
    pub(super) async fn close(self) {
        let closing = self.connection.close(200, "done".into());
        match timeout(CLOSE_WAIT_MAX, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = sentence(&error), "connection was gone"),
            Err(_) => tracing::debug!("the broker did not answer the close; cutting"),
        }
    }

    /// Ends the connection at once. What was queued on it never goes out; what was written may
    /// have arrived.
    pub(super) fn cut(&self) {
        self.socket.cut();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::new("billing", &url.to_owned().into())
    }

    #[test]
    fn an_endpoint_never_shows_user_or_password() {
        let endpoint = endpoint("amqp://tieline:s3cret%2F@broker.example:5673/sp%2Fsync").unwrap();
        assert_eq!(endpoint.to_string(), "amqp://broker.example:5673/sp%2Fsync");
        assert_eq!((endpoint.vhost(), endpoint.user()), ("sp/sync", "tieline"));
        assert!(!format!("{endpoint:?}").contains("s3cret"));
    }

    #[test]
    fn the_heartbeat_is_that_of_the_url_else_the_given_one() {
        let heartbeat = |url, given: Duration| {
            endpoint(url).unwrap().with_heartbeat(given).dialled().query.heartbeat
        };
        assert_eq!(heartbeat("amqp://broker", Duration::from_secs(3)), Some(3));
        assert_eq!(heartbeat("amqp://broker", Duration::from_millis(3)), Some(1));
        assert_eq!(heartbeat("amqp://broker?heartbeat=7", Duration::from_secs(3)), Some(7));
        assert_eq!(endpoint("amqp://broker").unwrap().dialled().query.heartbeat, Some(10));
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        let error = endpoint("amqp://tieline:s3cret@broker:port/").unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(error.to_string().contains("the AMQP URL of billing"), "{error}");
    }

    #[test]
    fn an_ipv6_address_is_a_host() {
        let endpoint = endpoint("amqp://guest:guest@[::1]:5672/%2f").unwrap();
        assert_eq!(endpoint.address(), "[::1]:5672");
    }
}
