//! What asset management said, about which request.

use super::ids::{MessageId, SyncRequestId};

/// Whether asset management created the asset location.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It did.
    Positive,
    /// It refused.
    Negative,
}

impl Verdict {
    /// The stable name, as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }
}

/// An answer as read: correlated first by what the message's properties say, else by its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Whom it answers.
    pub reference: AnswerReference,
    /// What it says.
    pub verdict: Verdict,
    /// The keys that asset management gave (`productionPkValue1` and following), positive only.
    pub keys: Vec<ExternalKey>,
    /// Why it refused, negative only.
    pub exceptions: Vec<AnswerException>,
}

/// Whom an answer answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnswerReference {
    /// The `correlation_id` property, if it is an id that tieline could have given out.
    pub message: Option<MessageId>,
    /// The body's `externalReferenceId`, which is billing's sync request id.
    pub sync_request: Option<SyncRequestId>,
}

/// A key under which asset management knows the thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalKey {
    /// What the key names, for example `ASSET-LOCATION`.
    pub entity: String,
    /// The key.
    pub value: String,
}

/// One reason of a refusal: Oracle's errors are a category, a number and positional parameters
/// (`F1-UpdateSyncRequest.exceptionInfo`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnswerException {
    /// The message category, as asset management counts them.
    pub category: String,
    /// The message number within the category.
    pub number: String,
    /// The parameters, in order.
    pub parameters: Vec<String>,
    /// Free text, if there is any.
    pub text: String,
}
