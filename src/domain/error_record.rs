//! The error queue: one record for each thing that failed and waits for a person.

use std::fmt;

use super::failure::{Failure, FailureCode, Leg};
use super::ids::{AnswerId, MessageId, RequestId};

/// What an error record is about. A thing has at most one open record, which counts its failures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum About {
    /// A parked request.
    Request(RequestId),
    /// An answer that could not be read, matched or believed.
    Answer(AnswerId),
    /// A reply that could not be delivered to billing.
    Reply(MessageId),
}

impl About {
    /// The error queue on which it appears: requests on that of the request leg, answers and
    /// replies on that of the answer leg.
    pub fn leg(&self, code: FailureCode) -> Leg {
        match self {
            Self::Request(_) => match code.leg() {
                Leg::Location => Leg::Location,
                Leg::Request | Leg::Answer | Leg::Reply => Leg::Request,
            },
            Self::Answer(_) => Leg::Answer,
            Self::Reply(_) => Leg::Reply,
        }
    }
}

/// Where an error record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorStatus {
    /// Waits for a person.
    Open,
    /// Was sent again by a person and has not failed since; its outcome is not known yet.
    Retrying,
    /// What it is about went through, or was superseded.
    Resolved,
    /// A person gave it up. Can be restored.
    Discarded,
}

impl ErrorStatus {
    /// The stable name, as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Retrying => "retrying",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
        }
    }
}

/// What failures have in common: the code and the rule of the mapping, not a text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FailureGroup {
    /// The failure code.
    pub code: FailureCode,
    /// The mapping's rule, for failures of a translation.
    pub rule: Option<String>,
}

impl FailureGroup {
    /// The group that a failure falls into: its first defect names the rule.
    pub fn of(failure: &Failure) -> Self {
        let rule = failure.defects.first().and_then(|defect| defect.rule.clone());
        Self { code: failure.code, rule }
    }
}

impl fmt::Display for FailureGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{}:{rule}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}
