//! What went wrong with a broker, in sentences for people: what was tried, what was found, what to
//! do. No password ever stands in one.

use std::io;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use super::connection::Endpoint;

/// Why a broker could not be connected to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("connect to {side} at {endpoint}: {why}")]
pub struct ConnectError {
    /// Which kind of trouble, for those who decide by it.
    pub kind: ConnectErrorKind,
    side: String,
    endpoint: String,
    why: String,
}

/// The kinds of trouble with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectErrorKind {
    /// Nothing listens, the name is unknown, or the network is down.
    Away,
    /// Something listens but does not speak in time.
    Mute,
    /// The broker does not take the user, or not on this virtual host.
    Refused,
    /// The virtual host is not there.
    NoVhost,
    /// TLS failed.
    Tls,
    /// The broker said something else.
    Other,
}

impl ConnectError {
    pub(super) fn new(endpoint: &Endpoint, kind: ConnectErrorKind, why: String) -> Self {
        let (side, endpoint) = (endpoint.name().to_owned(), endpoint.to_string());
        Self { kind, side, endpoint, why }
    }

    /// Nothing was heard within the time limit.
    pub(super) fn mute(endpoint: &Endpoint) -> Self {
        let why = format!(
            "no answer within {} s; the broker hangs, or something else listens on that port",
            endpoint.connect_timeout().as_secs_f32()
        );
        Self::new(endpoint, ConnectErrorKind::Mute, why)
    }

    /// Names what lapin met.
    pub(super) fn of(endpoint: &Endpoint, error: &lapin::Error) -> Self {
        let (user, vhost) = (endpoint.user(), endpoint.vhost());
        let (kind, why) = match error.kind() {
            ErrorKind::IOError(error) => of_io(endpoint, error),
            ErrorKind::ProtocolError(said) => {
                let said_text = said.get_message().as_str();
                match said.kind() {
                    AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => (
                        ConnectErrorKind::Refused,
                        format!("the broker refuses user '{user}' or its password"),
                    ),
                    AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                        if said_text.contains("not found") =>
                    {
                        let why = format!("virtual host '{vhost}' does not exist on that broker");
                        (ConnectErrorKind::NoVhost, why)
                    }
                    AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                        if said_text.contains("refused for user") =>
                    {
                        let why = format!("user '{user}' has no access to virtual host '{vhost}'");
                        (ConnectErrorKind::Refused, why)
                    }
                    _ => (ConnectErrorKind::Other, said_text.to_owned()),
                }
            }
            _ => (ConnectErrorKind::Other, sentence(error)),
        };
        Self::new(endpoint, kind, why)
    }
}

fn of_io(endpoint: &Endpoint, error: &io::Error) -> (ConnectErrorKind, String) {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            (ConnectErrorKind::Away, format!("nothing listens on {}", endpoint.address()))
        }
        io::ErrorKind::TimedOut => {
            (ConnectErrorKind::Away, format!("{} does not respond", endpoint.address()))
        }
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => (
            ConnectErrorKind::Other,
            "it closed the connection during the handshake; is that an AMQP 0-9-1 port, and does \
             it want amqps://?"
                .to_owned(),
        ),
        io::ErrorKind::InvalidData => (ConnectErrorKind::Tls, format!("TLS: {error}")),
        _ => (ConnectErrorKind::Away, error.to_string()),
    }
}

/// What a lapin error says, without its wrapping.
pub(super) fn sentence(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(said) => said.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::MissingHeartbeatError => {
            "nothing was heard from the broker for two heartbeats".to_owned()
        }
        // It names a rule of the parser, and never the message.
        ErrorKind::ParsingError(_) => "what the broker sent cannot be read".to_owned(),
        _ => error.to_string(),
    }
}

/// The reply code with which the broker closed a channel or a connection, for example 404.
pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said.get_id()),
        _ => None,
    }
}

/// Why something could not be done on a broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It could not be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The broker refused, or went away.
    #[error("{doing} {thing}: {why}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// With which thing.
        thing: String,
        /// What the broker said.
        why: String,
    },
}

impl BrokerError {
    /// Turns what lapin met while doing something with a thing.
    pub(super) fn on(doing: &'static str, thing: &str) -> impl FnOnce(lapin::Error) -> Self {
        let thing = thing.to_owned();
        move |error| Self::Refused { doing, thing, why: sentence(&error) }
    }
}
