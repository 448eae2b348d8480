//! The rules of the bridge: what a sync request is, how it moves and how it may fail.
//!
//! Pure: no async, no I/O, no clock, no logging. Values come in, values go out; time and
//! identities are given, never taken. Everything that decides lives here, so that it can be
//! tested in microseconds and read without knowing the broker or the store.
//!
//! Read in this order: [`ids`], [`request`], [`lifecycle`], [`place`], [`answer`], [`reply`],
//! [`failure`], [`error_record`], [`journal`], [`fence`].
#![deny(clippy::wildcard_enum_match_arm)]
#![warn(missing_docs)]

pub mod answer;
pub mod error_record;
pub mod failure;
pub mod fence;
pub mod ids;
pub mod journal;
pub mod lifecycle;
pub mod place;
pub mod reply;
pub mod request;

pub use answer::{Answer, AnswerException, AnswerReference, ExternalKey, Verdict};
pub use error_record::{About, ErrorStatus, FailureGroup};
pub use failure::{Defect, Failure, FailureClass, FailureCode, Leg, Mender, Stage};
pub use fence::{Fence, Mark, Standing, StoreId};
pub use ids::{AnswerId, Digest, ErrorId, MessageId, RequestId, ServicePointId, SyncRequestId};
pub use journal::Entry;
pub use lifecycle::{
    Circumstances, Command, Event, Ignored, Outcome, Refused, RetryPolicy, State, Step, Tell,
};
pub use place::{Neighbour, Place, Placing};
pub use reply::{Reply, Sign, Told};
pub use request::{Revision, SubjectKind, Translation};
