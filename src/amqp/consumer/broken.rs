//! Why a generation of a consumer ended, and what that says about the next.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError};

use crate::amqp::problem::{ConnectError, sentence};
use crate::bridge::StoreError;

/// Why a generation ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("consume {queue}: {}", sentence(.error))]
    Channel { queue: String, error: lapin::Error },
    #[error("consume {queue}: the broker cancelled the consumer; was the queue deleted?")]
    Cancelled { queue: String },
    #[error("{ready} messages wait on {queue}, and the broker has delivered none for a while")]
    Stalled {
        queue: String,
        ready: u32,
        /// How many other consumers the queue serves.
        others: u32,
    },
    #[error("read {queue} with care: {error}")]
    Careful { queue: String, error: std::io::Error },
    #[error("hand over what arrived on {queue}")]
    Store {
        queue: String,
        #[source]
        source: StoreError,
    },
}

impl Broken {
    /// Whether lapin gave up over what the broker delivered: it would do so again.
    pub(super) fn is_unreadable(&self) -> bool {
        let Self::Channel { error, .. } = self else { return false };
        match error.kind() {
            ErrorKind::ParsingError(_) => true,
            ErrorKind::ProtocolError(said) => {
                matches!(said.kind(), AMQPErrorKind::Hard(AMQPHardError::FRAMEERROR))
            }
            _ => false,
        }
    }

    /// Whether it ended because nothing came. A frame that is too large for lapin's buffer also
    /// looks like that: it waits for the rest, and reads not even heartbeats.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Stalled { .. } => true,
            Self::Channel { error, .. } => matches!(error.kind(), ErrorKind::MissingHeartbeatError),
            _ => false,
        }
    }
}
