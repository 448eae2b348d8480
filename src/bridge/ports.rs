//! What the use cases ask of the world: a store, publishers, a clock.
//!
//! Every method of [`Store`] that changes something is one transaction, committed before it
//! returns; the rules are asked (`domain`) inside it. A batch is one transaction, in order.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::message::{Arrival, Outgoing};
use crate::domain::{
    About, Answer, AnswerId, Command, ErrorId, ErrorStatus, Failure, FailureGroup, Fence, Ignored,
    Mark, MessageId, Refused, Reply, RequestId, RetryPolicy, Revision, ServicePointId,
    SyncRequestId, Translation,
};

/// The kinds of outgoing messages; each has its own loop, so that one side's outage does not delay
/// the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lane {
    /// Asset locations for asset management.
    Location,
    /// Replies for billing.
    Reply,
    /// Notes for the error queues.
    Note,
}

impl Lane {
    /// The stable name, as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Location => "location",
            Self::Reply => "reply",
            Self::Note => "note",
        }
    }
}

/// A request as it arrived, with what came of translating it.
#[derive(Clone, PartialEq, Debug)]
pub struct NewRequest {
    pub id: RequestId,
    pub arrival: Arrival,
    pub sync_request: Option<SyncRequestId>,
    pub service_point: Option<ServicePointId>,
    pub revision: Revision,
    /// Translated, or why not. With a failure the request is born parked.
    pub translation: Result<Translation, Failure>,
    /// Echoed as the reply's `correlation_id`.
    pub reply_correlation: Option<String>,
    /// W3C trace context for everything that follows from it.
    pub trace: Option<String>,
}

/// What came of recording a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It is new.
    New {
        /// `pending`, `waiting`, `parked` or `superseded`.
        state: &'static str,
        error: Option<ErrorId>,
        superseded: Vec<RequestId>,
    },
    /// It is an identical resend (or a redelivery) of a known request in this state.
    Known {
        state: &'static str,
        /// Whether billing gets its last reply once more.
        repeated: bool,
        /// Whether a parked one was taken up again.
        revived: bool,
    },
}

/// An answer as it arrived, with what came of reading it.
#[derive(Clone, PartialEq, Debug)]
pub struct NewAnswer {
    pub id: AnswerId,
    pub arrival: Arrival,
    /// Read, or why not (unreadable, spoofed). With a failure it goes to the error queue.
    pub read: Result<Answer, Failure>,
    pub trace: Option<String>,
}

/// What came of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It settled the request: `applied` or `rejected`.
    Moved {
        request: RequestId,
        state: &'static str,
        sync_request: Option<SyncRequestId>,
        /// The trace context of the request, so that the answer joins its trace.
        trace: Option<String>,
    },
    /// It changed nothing.
    Ignored { request: RequestId, why: Ignored },
    /// It went to the error queue.
    Parked { error: ErrorId, failure: Failure, request: Option<RequestId> },
    /// The same answer is on the error queue already.
    ParkedBefore { error: ErrorId },
}

/// A message leased for publishing.
#[derive(Clone, PartialEq, Debug)]
pub struct Leased {
    /// The place in the outbox.
    pub place: i64,
    pub message: Outgoing,
}

/// How the handover of a leased message ended, as the store must know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handover {
    /// The broker has it, and it was routed.
    Confirmed,
    /// It failed although others of the same window went through: its own fault, counted.
    Failed(Failure),
    /// Cut short: it goes back to wait, not counted.
    Interrupted,
}

/// A message that arrived on an error queue from elsewhere: dead-lettered by the broker, moved by
/// a person, or foreign.
#[derive(Clone, PartialEq, Debug)]
pub enum TakenIn {
    /// A copy of what is recorded under this error id: nothing to do.
    Note { error: ErrorId },
    /// An asset location or a reply that came back from the other side's queue.
    Returned { message: MessageId, about: Returned, failure: Failure },
    /// A request that the bridge never recorded: becomes a parked one, unless it is known.
    Request { request: Box<NewRequest>, failure: Failure },
    /// An answer that the bridge never recorded.
    Answer { answer: Box<NewAnswer>, failure: Failure },
}

/// What came back from the other side's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returned {
    Location(RequestId),
    Reply(RequestId),
}

/// What came of a message on the error queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TookIn {
    /// It is known; nothing changed.
    Known,
    /// No record has the id that the message names, and the message says too little to open one:
    /// the caller takes it in as foreign.
    Unknown,
    /// A record was opened for it.
    Opened(ErrorId),
}

/// An operator's command on one error record.
#[derive(Clone, PartialEq, Debug)]
pub struct Order {
    pub error: ErrorId,
    pub command: Command,
    /// For a retry of a request: the translation of today. For a retry of an answer: the answer
    /// as read today.
    pub mended: Option<Mended>,
}

/// What a retry starts from.
#[derive(Clone, PartialEq, Debug)]
pub enum Mended {
    Request {
        translation: Translation,
        sync_request: SyncRequestId,
        service_point: ServicePointId,
        revision: Revision,
    },
    Answer(Answer),
}

/// Who gives an order, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    pub name: String,
    pub reason: String,
}

/// What came of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ordered {
    /// Carried out.
    Done,
    /// The record is not there.
    Unknown,
    /// The record is not open (or, for a restore, not discarded).
    NotOpen(ErrorStatus),
    /// The request does not take the command.
    Refused(Refused),
    /// The answer still matches no request, or still contradicts.
    StillFails(Failure),
}

/// A long outage of a lane, as stored, so that a restart does not forget when it began.
#[derive(Clone, PartialEq, Debug)]
pub struct Outage {
    pub since: Timestamp,
    pub failure: Failure,
}

/// What a round of the sweep did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Requests whose answer is overdue since this round.
    pub overdue: Vec<(RequestId, Option<SyncRequestId>)>,
    /// Whether there may be more.
    pub more: bool,
}

/// How many requests, errors and outgoing messages stand where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// By state, every state named.
    pub requests: Vec<(&'static str, u64)>,
    /// By lane: how many wait.
    pub outbox: Vec<(&'static str, u64)>,
    /// By group, open ones only.
    pub errors_open: Vec<(FailureGroup, u64)>,
    /// When the oldest waiting message of a lane was put there.
    pub oldest: Vec<(&'static str, Timestamp)>,
}

/// The message store.
#[async_trait]
pub trait Store: Send + Sync {
    /// Records requests once, in order: a new one is placed among those of its service point
    /// (`domain::Placing`), a known one takes [`crate::domain::Event::Resent`]. Payloads and
    /// properties are kept exactly as they came.
    async fn record(&self, batch: Vec<NewRequest>) -> Result<Vec<Recorded>, StoreError>;

    /// Correlates answers, in order, and settles the requests: by message id, else by the body's
    /// sync request id (the newest request of that id that was handed over).
    async fn settle(&self, batch: Vec<NewAnswer>) -> Result<Vec<Settled>, StoreError>;

    /// Leases up to `limit` due messages of a lane in the order they were put there, until `until`.
    /// A lease that ran out is given again.
    async fn lease(
        &self,
        lane: Lane,
        limit: u32,
        until: Timestamp,
    ) -> Result<Vec<Leased>, StoreError>;

    /// Notified after each commit that made something due in a lane: put it there, gave it back, or
    /// took away what it had to go behind. Only shortens a wait: what falls due later, and what another
    /// process put there, is found by whoever looks.
    fn news(&self, lane: Lane) -> Arc<Notify>;

    /// Records how handovers ended and gives up the leases.
    async fn finish(&self, lane: Lane, handovers: Vec<(i64, Handover)>) -> Result<(), StoreError>;

    /// Parks up to `limit` waiting messages of a lane that are not leased, because their side is
    /// unreachable. Returns how many it parked.
    async fn park(&self, lane: Lane, failure: &Failure, limit: u32) -> Result<u32, StoreError>;

    /// Marks requests whose answer is overdue and lets those behind them go on.
    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError>;

    /// Takes in what arrived on an error queue from elsewhere.
    async fn take_in(&self, batch: Vec<TakenIn>) -> Result<Vec<TookIn>, StoreError>;

    /// Carries out an operator's orders, in order.
    async fn order(
        &self,
        operator: &Operator,
        orders: Vec<Order>,
    ) -> Result<Vec<Ordered>, StoreError>;

    /// Reads or writes the outage of a lane.
    async fn outage(&self, lane: Lane) -> Result<Option<Outage>, StoreError>;
    async fn set_outage(&self, lane: Lane, outage: Option<Outage>) -> Result<(), StoreError>;

    /// The open error records of a lane's outage codes since a time: what a release retries.
    async fn parked_by_outage(
        &self,
        lane: Lane,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ErrorId>, StoreError>;

    /// Who the store is, and how far what is durable in it goes.
    async fn mark(&self) -> Result<Mark, StoreError>;
    /// When something was journalled last.
    async fn written_until(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Raises the epoch above that of a fence that is ahead, or of another store: this store counts.
    async fn accept(&self, operator: &Operator, fence: &Fence) -> Result<Mark, StoreError>;

    /// Reads. They never wait for a writer.
    async fn request(&self, id: RequestId) -> Result<Option<RequestView>, StoreError>;
    async fn requests(&self, query: &RequestQuery) -> Result<Vec<RequestView>, StoreError>;
    async fn timeline(&self, id: RequestId) -> Result<Vec<JournalLine>, StoreError>;
    async fn error(&self, id: ErrorId) -> Result<Option<ErrorView>, StoreError>;
    async fn errors(&self, query: &ErrorQuery) -> Result<Vec<ErrorView>, StoreError>;
    async fn error_groups(&self, query: &ErrorQuery) -> Result<Vec<GroupView>, StoreError>;
    /// The message that an error record is about, as it came (or, for a reply, as it was made).
    async fn error_message(&self, id: ErrorId) -> Result<Option<Arrival>, StoreError>;
    /// The messages of a request: as received, the asset location, the replies.
    async fn request_messages(&self, id: RequestId) -> Result<Option<RequestMessages>, StoreError>;
    async fn counts(&self) -> Result<Counts, StoreError>;
}

/// A request as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct RequestView {
    pub id: RequestId,
    pub sync_request: Option<SyncRequestId>,
    pub service_point: Option<ServicePointId>,
    pub kind: Option<String>,
    pub revision: Revision,
    pub state: String,
    pub edition: u16,
    pub superseded_by: Option<RequestId>,
    pub answer_due: Option<Timestamp>,
    pub mapping: Option<String>,
    pub told: Option<String>,
    pub received_at: Timestamp,
    pub changed_at: Timestamp,
    pub resends: u32,
    pub error: Option<ErrorId>,
}

/// Which requests; newest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RequestQuery {
    pub states: Vec<String>,
    pub sync_request: Option<SyncRequestId>,
    pub service_point: Option<ServicePointId>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub limit: u32,
}

/// A line of a request's timeline.
#[derive(Clone, PartialEq, Debug)]
pub struct JournalLine {
    pub at: Timestamp,
    pub kind: String,
    pub detail: String,
}

/// The messages of a request.
#[derive(Clone, PartialEq, Debug)]
pub struct RequestMessages {
    pub received: Arrival,
    pub location: Option<Vec<u8>>,
    pub replies: Vec<ReplyView>,
}

/// A reply as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct ReplyView {
    pub message: MessageId,
    pub outcome: String,
    /// `pending`, `delivered` or `parked`.
    pub state: String,
    pub made_at: Timestamp,
    pub delivered_at: Option<Timestamp>,
    pub payload: Vec<u8>,
}

/// An error record as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct ErrorView {
    pub id: ErrorId,
    pub about: About,
    pub request: Option<RequestId>,
    pub sync_request: Option<SyncRequestId>,
    pub service_point: Option<ServicePointId>,
    pub failure: Failure,
    pub group: FailureGroup,
    pub status: ErrorStatus,
    pub failures: u32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// Who last touched it and why.
    pub by: Option<Operator>,
}

/// Which error records; newest first. Empty means open ones.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ErrorQuery {
    pub ids: Vec<ErrorId>,
    pub statuses: Vec<ErrorStatus>,
    /// `TL2002` or `TL2002:location/nodeType`.
    pub group: Option<String>,
    pub code: Option<String>,
    pub sync_request: Option<SyncRequestId>,
    pub service_point: Option<ServicePointId>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only records below this id: the next page.
    pub before: Option<ErrorId>,
    pub limit: u32,
}

/// A group of error records.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupView {
    pub group: FailureGroup,
    pub count: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The detail of the newest.
    pub sample: String,
    pub sample_error: ErrorId,
}

/// Why the store could not do its work. Nothing of the transaction happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or server is not there, or has another schema.
    #[error("open the store {at}: {why}")]
    Open { at: String, why: String },
    /// It is there, but the work failed: full, locked, unreadable.
    #[error("{what}: {source}")]
    Work {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row contradicts what the rules allow. A bug, or a hand in the store.
    #[error("table {table}, row {row}: {why}")]
    Inconsistent { table: &'static str, row: String, why: String },
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
}

/// Writes replies as billing expects them; asked by the store when a reply comes into being, so
/// that its bytes are fixed from then on.
pub trait ReplyWriter: Send + Sync {
    /// The bytes of a reply. Total: what the mapping cannot say is said with its fallback.
    fn write(&self, reply: &Reply) -> Vec<u8>;
}

/// The current time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// What the store needs to know to apply the rules.
#[derive(Clone, PartialEq, Debug)]
pub struct Rules {
    /// How often a message may fail for its own fault.
    pub retry: RetryPolicy,
    /// After how long an answer is overdue.
    pub answer_timeout: jiff::SignedDuration,
}

/// Takes what a consumer received. The consumer settles a batch only after it was taken.
pub trait Handler: Send + Sync {
    /// Takes a batch, in order. After `Ok` every message of it is recorded; after an error none
    /// is, and the broker keeps them.
    ///
    /// What takes the processor is done before this returns, what waits for the store is left to
    /// the future: so one batch can be read while the one before is being recorded. Nothing is
    /// recorded before the future is polled.
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_>;
}

/// A batch on its way into the store.
pub type Receiving<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// Publishes to one lane's exchange.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Returns when the broker is there, or why it is not after a bounded wait.
    async fn open(&self) -> Result<(), Failure>;

    /// Tells whether a message published now would find its queue; for a lane that is out and has
    /// nothing to try it with.
    async fn probe(&self) -> Result<(), Failure>;

    /// Publishes a window in order, persistent and mandatory, and waits until every message of it
    /// is settled: confirmed, returned, refused, or unknown because the connection is gone or no
    /// confirm came in time. One result per message, in order.
    async fn publish(&self, window: &[Leased]) -> Vec<Result<(), Failure>>;
}
