//! What can be wrong with a request, on purpose.

use crate::domain::FailureCode;

use super::random::Random;

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The bytes are not the XML that was agreed on.
    Malformed(Malformed),
    /// A field is missing or holds what it must not.
    Swapped {
        /// Which of the faults of a field.
        kind: Swapped,
        /// Which of its examples.
        example: usize,
    },
}

/// The faults of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swapped {
    /// No value map has the value.
    Unmapped,
    /// A required field is not there.
    Missing,
    /// A value is longer than its target takes.
    TooLong,
}

/// The faults of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Cut off in the middle.
    Cut,
    /// An end tag of another element.
    EndTag,
    /// A bare `&`.
    Ampersand,
    /// A byte that is no UTF-8.
    Byte,
    /// A document type with an entity.
    DocumentType,
    /// No XML at all.
    Text,
    /// Nothing at all.
    Empty,
    /// XML, but a message of somebody else.
    OtherRoot,
}

/// A field's other value; without one the field is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Swap {
    pub field: &'static str,
    pub value: Option<&'static str>,
}

/// Values that no value map has. The bridge refuses all three for meters and for items.
const UNMAPPED: &[Swap] = &[
    Swap { field: "spType", value: Some("X-UNMAP") },
    Swap { field: "spType", value: Some("X-UNMAP") },
    Swap { field: "timeZone", value: Some("X-ZONE") },
    Swap { field: "sourceStatus", value: Some("X") },
];

const MISSING: &[Swap] = &[
    Swap { field: "spType", value: None },
    Swap { field: "timeZone", value: None },
    Swap { field: "timeZone", value: Some("") },
];

const TOO_LONG: &[Swap] = &[
    Swap { field: "postal", value: Some("94104-1234 (rear entrance)") },
    Swap { field: "state", value: Some("Nordrhein-Westfalen") },
];

impl Fault {
    /// One of the faults of the bytes.
    pub(super) fn malformed(random: &mut Random) -> Self {
        Self::Malformed(Malformed::ALL[random.index(Malformed::ALL.len())])
    }

    /// One of the faults of a field.
    pub(super) fn swapped(kind: Swapped, random: &mut Random) -> Self {
        Self::Swapped { kind, example: random.index(kind.examples().len()) }
    }

    /// The code under which the bridge parks such a request.
    pub fn code(self) -> FailureCode {
        match self {
            Self::Malformed(malformed) => malformed.code(),
            Self::Swapped { kind: Swapped::Unmapped, .. } => FailureCode::UnmappedValue,
            Self::Swapped { kind: Swapped::Missing, .. } => FailureCode::MissingField,
            Self::Swapped { kind: Swapped::TooLong, .. } => FailureCode::TooLong,
        }
    }

    pub(super) fn swap(self) -> Option<Swap> {
        match self {
            Self::Malformed(_) => None,
            Self::Swapped { kind, example } => kind.examples().get(example).copied(),
        }
    }
}

impl Swapped {
    fn examples(self) -> &'static [Swap] {
        match self {
            Self::Unmapped => UNMAPPED,
            Self::Missing => MISSING,
            Self::TooLong => TOO_LONG,
        }
    }
}

impl Malformed {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::Cut,
        Self::EndTag,
        Self::Ampersand,
        Self::Byte,
        Self::DocumentType,
        Self::Text,
        Self::Empty,
        Self::OtherRoot,
    ];

    /// The code under which the bridge parks such a request.
    pub fn code(self) -> FailureCode {
        match self {
            Self::Cut | Self::EndTag | Self::Ampersand | Self::Text | Self::Empty => {
                FailureCode::MalformedXml
            }
            Self::Byte => FailureCode::BadEncoding,
            Self::DocumentType => FailureCode::ForbiddenXml,
            Self::OtherRoot => FailureCode::UnknownMessage,
        }
    }

    /// Whether the sync request id still stands in the bytes, so that a reader that is patient
    /// enough can find it.
    pub fn names_its_sync_request(self) -> bool {
        match self {
            Self::Cut
            | Self::EndTag
            | Self::Ampersand
            | Self::Byte
            | Self::DocumentType
            | Self::OtherRoot => true,
            Self::Text | Self::Empty => false,
        }
    }

    /// Breaks the bytes of a good request.
    pub(super) fn apply(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Cut => {
                let end = bytes.len() * 2 / 3;
                bytes.into_iter().take(end).collect()
            }
            Self::EndTag => replaced(&bytes, b"</spStatus>", b"</spState>"),
            Self::Ampersand => replaced(&bytes, b"<address1>", b"<address1>Bed & Breakfast, "),
            Self::Byte => replaced(&bytes, b"<address1>", b"<address1>Caf\xe9 "),
            Self::DocumentType => {
                let kind = b"<!DOCTYPE spSyncRequest [<!ENTITY x \"x\">]>\n<spSyncRequest";
                replaced(&bytes, b"<spSyncRequest", kind)
            }
            Self::Text => b"sync request failed: see attachment".to_vec(),
            Self::Empty => Vec::new(),
            Self::OtherRoot => {
                let bytes = replaced(&bytes, b"<spSyncRequest", b"<personSyncRequest");
                replaced(&bytes, b"</spSyncRequest>", b"</personSyncRequest>")
            }
        }
    }
}

/// The bytes with the first occurrence of one thing replaced by another.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match memchr::memmem::find(bytes, from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}
