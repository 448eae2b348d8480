//! Identities. Each is a type of its own, so that one cannot be passed for another.
//!
//! The identities of requests and of what is published for them are derived from their content,
//! not drawn: a request that billing sends again after the store was lost or put back gets the
//! identity it had before, and the receiver recognises the repeat.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The namespace of all identities that tieline derives (UUID version 5, RFC 9562 section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x7469_656c_696e_4e65_9d1f_5a0c_33b7_e201);

/// The low bits of a message id that carry the edition; the rest is the request's id.
const EDITION_BITS: u32 = 16;
const EDITION_MASK: u128 = (1 << EDITION_BITS) - 1;

/// The SHA-256 of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Computes the digest of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Billing's identity of a sync request; the reply echoes it. At most 14 characters
/// (`F1-UpdateSyncRequest.syncRequestId` of Oracle's framework REST schema).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SyncRequestId(String);

impl SyncRequestId {
    /// The longest identity that billing can have given.
    pub const LENGTH_MAX: usize = 14;

    /// Accepts an identity of 1 to 14 visible ASCII characters; anything else is given back.
    pub fn new(text: &str) -> Result<Self, String> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && visible { Ok(Self(text.to_owned())) } else { Err(text.to_owned()) }
    }

    /// The identity as billing wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SyncRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Billing's identity of a service point: the key of order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ServicePointId(String);

impl ServicePointId {
    /// The longest identity accepted. CCB's is 10 characters (`SP_ID`); a site's may be wider.
    pub const LENGTH_MAX: usize = 64;

    /// Accepts an identity of 1 to 64 visible ASCII characters; anything else is given back.
    pub fn new(text: &str) -> Result<Self, String> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && visible { Ok(Self(text.to_owned())) } else { Err(text.to_owned()) }
    }

    /// The identity as billing wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServicePointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a recorded request: sync request id and payload together. An identical resend
/// has the same one, a corrected resend another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Derives the identity from billing's id and the time that the message gives for its creation,
    /// as far as they could be read, and the payload.
    ///
    /// It begins with that time, in seconds since 1970, so that requests of one day stand together
    /// wherever they stand in the order of their ids: to look one up among millions touches what was
    /// touched a moment ago.
    pub fn derive(
        sync_request: Option<&SyncRequestId>,
        created_at: Option<Timestamp>,
        payload: &Digest,
    ) -> Self {
        let mut name = Vec::with_capacity(64);
        name.extend_from_slice(sync_request.map_or("", SyncRequestId::as_str).as_bytes());
        name.push(0);
        name.extend_from_slice(&payload.0);
        let hash = Uuid::new_v5(&NAMESPACE, &name);
        let seconds = created_at.and_then(|at| u32::try_from(at.as_second()).ok());
        Self::from_uuid(beginning_with(seconds.map(u32::to_be_bytes), hash))
    }

    /// Takes a UUID for a request's identity; the bits of an edition are cleared.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(Uuid::from_u128(uuid.as_u128() & !EDITION_MASK))
    }

    /// The identity as a UUID.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// The message id of the asset location of this edition. Editions count the times that a
    /// request was translated for sending: every resend of one edition has the same id and bytes.
    pub fn location(self, edition: u16) -> MessageId {
        MessageId(Uuid::from_u128(self.0.as_u128() | u128::from(edition)))
    }

    /// The message id of the n-th reply to billing about this request.
    pub fn reply(self, number: u16) -> MessageId {
        let name = [&self.0.as_bytes()[..], b"reply", &number.to_be_bytes()].concat();
        MessageId(Uuid::new_v5(&NAMESPACE, &name))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self::from_uuid)
    }
}

/// The `message_id` of something that tieline publishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Uuid);

impl MessageId {
    /// Takes a UUID that came back as a correlation id.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The identity as a UUID.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// The message id of the n-th note about an error record on an error queue.
    pub fn note(error: ErrorId, number: u16) -> Self {
        let name = [b"note", &error.0.to_be_bytes()[..], &number.to_be_bytes()].concat();
        Self(Uuid::new_v5(&NAMESPACE, &name))
    }

    /// The request whose asset location carried this id. An id that tieline never gave out names
    /// a request that does not exist.
    pub fn request(self) -> RequestId {
        RequestId::from_uuid(self.0)
    }

    /// The edition of the asset location that carried this id.
    pub fn edition(self) -> u16 {
        (self.0.as_u128() & EDITION_MASK) as u16
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl FromStr for MessageId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// The identity of an answer as received: who it says it answers, and its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AnswerId(Uuid);

impl AnswerId {
    /// Derives the identity, so that a repeat of the same answer is recognised. It begins like that of
    /// the request that is answered.
    pub fn derive(correlation: Option<&str>, payload: &Digest) -> Self {
        let name = [correlation.unwrap_or("").as_bytes(), &[0], &payload.0].concat();
        let hash = Uuid::new_v5(&NAMESPACE, &name);
        let answered = correlation.and_then(|id| Uuid::parse_str(id).ok());
        let beginning = answered.and_then(|id| id.as_bytes().first_chunk().copied());
        Self(beginning_with(beginning, hash))
    }

    /// Takes back a stored identity.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The identity as a UUID.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for AnswerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A UUID of our own making (version 8, RFC 9562 section 5.8): a hash, and before it what it is to be
/// ordered by.
fn beginning_with(beginning: Option<[u8; 4]>, hash: Uuid) -> Uuid {
    let mut bytes = *hash.as_bytes();
    if let (Some(first), Some(beginning)) = (bytes.first_chunk_mut(), beginning) {
        *first = beginning;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The identity of an error record, short enough to be read out on the telephone: `E-1042`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ErrorId(pub i64);

impl fmt::Display for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E-{}", self.0)
    }
}

impl FromStr for ErrorId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("E-").or_else(|| text.strip_prefix("e-")).unwrap_or(text);
        digits.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_leads_back_to_its_request() {
        let id = RequestId::derive(None, None, &Digest::of(b"payload"));
        for edition in [1, 2, u16::MAX] {
            assert_eq!(id.location(edition).request(), id);
            assert_eq!(id.location(edition).edition(), edition);
        }
    }

    #[test]
    fn a_corrected_resend_is_another_request() {
        let sync = SyncRequestId::new("85810617092033").unwrap();
        let id = |payload: &[u8]| RequestId::derive(Some(&sync), None, &Digest::of(payload));
        assert_eq!(id(b"first"), id(b"first"));
        assert_ne!(id(b"first"), id(b"corrected"));
    }

    #[test]
    fn identities_are_in_the_order_of_creation() {
        let at = |second| Timestamp::from_second(second).ok();
        let id = |at: Option<Timestamp>| RequestId::derive(None, at, &Digest::of(b"payload"));
        assert!(id(at(1_741_932_000)).to_string().starts_with("67d3c5e0-"));
        assert!(id(at(1_741_932_000)) < id(at(1_741_932_001)));
        let answered = id(at(1_741_932_000)).location(1).to_string();
        let answer = AnswerId::derive(Some(&answered), &Digest::of(b"answer"));
        assert!(answer.to_string().starts_with("67d3c5e0-"));
        // What no 32 bits can say, and what is not known, is left out.
        for unknown in [at(-1), at(1 << 32), None] {
            assert_eq!(id(unknown), id(None));
        }
        assert_ne!(id(at(0)), id(None));
    }

    #[test]
    fn an_identity_of_billing_is_1_to_14_visible_characters() {
        assert!(SyncRequestId::new("85810617092033").is_ok());
        for wrong in ["", "858106170920331", "85 81", "85\n", "858\u{a0}"] {
            assert_eq!(SyncRequestId::new(wrong), Err(wrong.to_owned()));
        }
    }

    #[test]
    fn an_error_id_is_read_as_it_is_shown() {
        assert_eq!("E-1042".parse(), Ok(ErrorId(1042)));
        assert_eq!("1042".parse(), Ok(ErrorId(1042)));
        assert_eq!(ErrorId(1042).to_string(), "E-1042");
    }
}
