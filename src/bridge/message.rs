//! Messages as the use cases see them: bytes with properties, in and out.

use serde::{Deserialize, Serialize};

use crate::domain::{ErrorId, FailureCode, Leg, MessageId, RequestId, ServicePointId};
use crate::domain::{SubjectKind, SyncRequestId};

/// A message as it was taken from a queue.
#[derive(Clone, PartialEq, Debug)]
pub struct Arrival {
    /// The bytes, exactly as received.
    pub payload: Vec<u8>,
    /// What the broker said about them.
    pub properties: Properties,
}

/// The properties of a message, kept with their AMQP types (AMQP 0-9-1, `basic` class).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, HeaderValue)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_mode: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// What of them could not be read, and so is missing here; their bytes are kept as the header
    /// [`header::RAW_PROPERTIES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The exchange it was published to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exchange: String,
    /// The routing key it was published with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub routing_key: String,
}

/// A header's value, with its AMQP type.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    Void,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Scale and unscaled value.
    Decimal(u8, u32),
    /// Seconds since 1970.
    Timestamp(u64),
    Text(String),
    /// A long string that is not UTF-8, or a byte array.
    Bytes(Vec<u8>),
    List(Vec<HeaderValue>),
    Table(Vec<(String, HeaderValue)>),
}

impl Properties {
    /// The text of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).and_then(|(_, value)| match value {
            HeaderValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The bytes of all properties, if they could not be read.
    pub fn raw(&self) -> Option<&[u8]> {
        self.headers.iter().find_map(|(key, value)| match value {
            HeaderValue::Bytes(raw) if key == header::RAW_PROPERTIES => Some(raw.as_slice()),
            _ => None,
        })
    }
}

/// The names of the headers that tieline sends.
pub mod header {
    /// Ours: the request's id.
    pub const REQUEST: &str = "tieline-request";
    /// Billing's id of the request.
    pub const SYNC_REQUEST: &str = "tieline-sync-request";
    /// The service point.
    pub const SERVICE_POINT: &str = "tieline-service-point";
    /// What a reply says: applied, rejected, parked, superseded, discarded.
    pub const OUTCOME: &str = "tieline-outcome";
    /// On error queues: the error record's id, `E-n`.
    pub const ERROR: &str = "tieline-error";
    /// On error queues: the failure code.
    pub const CODE: &str = "tieline-code";
    /// On error queues: the leg that failed.
    pub const LEG: &str = "tieline-leg";
    /// Never sent: the bytes of properties that could not be read, as the store keeps them.
    pub const RAW_PROPERTIES: &str = "tieline-raw-properties";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
}

/// A message that waits to be published.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    /// The identity of the publish: the same on every resend, with the same bytes.
    pub message_id: MessageId,
    /// The bytes.
    pub payload: Vec<u8>,
    /// What it is.
    pub what: What,
    /// W3C trace context to send along.
    pub trace: Option<String>,
}

/// What a message for publishing is, and what its properties follow from.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// An asset location for asset management.
    Location {
        request: RequestId,
        sync_request: SyncRequestId,
        service_point: ServicePointId,
        kind: SubjectKind,
    },
    /// A reply for billing.
    Reply {
        request: RequestId,
        sync_request: SyncRequestId,
        service_point: Option<ServicePointId>,
        /// The request's own correlation id, else its message id, else the sync request id.
        correlation: String,
        /// What it says: applied, rejected, parked, superseded, discarded.
        outcome: String,
    },
    /// A note about an error record: the failed message itself, for the error queue of its leg.
    Note {
        error: ErrorId,
        code: FailureCode,
        leg: Leg,
        request: Option<RequestId>,
        sync_request: Option<SyncRequestId>,
        service_point: Option<ServicePointId>,
        content_type: Option<String>,
    },
}
