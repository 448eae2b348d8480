//! What billing is told about a request.

use super::answer::{AnswerException, ExternalKey, Verdict};
use super::failure::Failure;
use super::ids::SyncRequestId;

/// What billing is told, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Asset management has it, under these keys.
    Applied(Vec<ExternalKey>),
    /// Asset management refused it.
    Rejected(Vec<AnswerException>),
    /// The bridge could not translate or deliver it; it waits on the error queue.
    Parked(Failure),
    /// A newer request of the same service point took its place.
    Superseded {
        /// The newer one's id at billing, if it could be read.
        by: Option<SyncRequestId>,
    },
    /// An operator gave it up.
    Discarded {
        /// The operator's reason.
        reason: String,
    },
}

/// Whether a reply is positive (`hasError` false) or negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// Billing's request ends well.
    Positive,
    /// Billing's request goes to its error state.
    Negative,
}

impl Sign {
    /// The stable name, as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }
}

impl Told {
    /// Whether it is a positive or a negative reply.
    pub fn sign(&self) -> Sign {
        match self {
            Self::Applied(_) | Self::Superseded { .. } => Sign::Positive,
            Self::Rejected(_) | Self::Parked(_) | Self::Discarded { .. } => Sign::Negative,
        }
    }

    /// The stable name of the outcome, as stored, shown and given in the `tieline-outcome` header.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Rejected(_) => "rejected",
            Self::Parked(_) => "parked",
            Self::Superseded { .. } => "superseded",
            Self::Discarded { .. } => "discarded",
        }
    }

    /// What follows from an answer of asset management.
    pub fn from_answer(
        verdict: Verdict,
        keys: Vec<ExternalKey>,
        exceptions: Vec<AnswerException>,
    ) -> Self {
        match verdict {
            Verdict::Positive => Self::Applied(keys),
            Verdict::Negative => Self::Rejected(exceptions),
        }
    }
}

/// A reply to be written: which sync request, and what is said about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Billing's id of the request.
    pub sync_request: SyncRequestId,
    /// What billing is told.
    pub told: Told,
}
