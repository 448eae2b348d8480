//! A store in a temporary folder, a clock that stands still, and words to tell stories with.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;
use tracing::subscriber::NoSubscriber;

use super::invariants::broken;
use crate::bridge::message::What;
use crate::bridge::ports::{
    Clock, ErrorQuery, ErrorView, Handover, Lane, Leased, Mended, NewAnswer, NewRequest, Operator,
    Order, Ordered, Recorded, ReplyView, ReplyWriter, Rules, Settled, Store as _,
};
use crate::bridge::{Arrival, Properties};
use crate::domain::{
    Answer, AnswerException, AnswerId, AnswerReference, Command, Defect, Digest, ErrorId,
    ErrorStatus, ExternalKey, Failure, FailureCode, MessageId, Reply, RequestId, RetryPolicy,
    Revision, ServicePointId, SubjectKind, SyncRequestId, Translation, Verdict,
};
use crate::store::{Role, Settings, Sqlite};

pub(super) const TRIES_MAX: u32 = 3;

pub(super) struct StoppedClock(Mutex<Timestamp>);

impl StoppedClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new("2025-03-14T08:00:00Z".parse().unwrap())))
    }

    pub(super) fn wait(&self, span: SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(span).unwrap();
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

pub(super) struct PlainReplies;

impl ReplyWriter for PlainReplies {
    fn write(&self, reply: &Reply) -> Vec<u8> {
        format!("{} {}", reply.sync_request, reply.told.outcome()).into_bytes()
    }
}

pub(super) fn rules() -> Rules {
    Rules {
        retry: RetryPolicy {
            tries_max: TRIES_MAX,
            delay_min: SignedDuration::from_secs(1),
            delay_max: SignedDuration::from_secs(60),
        },
        answer_timeout: SignedDuration::from_mins(15),
    }
}

pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) clock: Arc<StoppedClock>,
    pub(super) store: Option<Sqlite>,
}

impl World {
    pub(super) fn new() -> Self {
        // Spares the time of formatting what nobody reads.
        drop(tracing::subscriber::set_global_default(NoSubscriber::new()));
        let mut world =
            Self { folder: tempfile::tempdir().unwrap(), clock: StoppedClock::new(), store: None };
        world.store = Some(world.open(Role::Bridge).unwrap());
        world
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    pub(super) fn open(&self, role: Role) -> Result<Sqlite, crate::bridge::StoreError> {
        let clock: Arc<dyn Clock> = Arc::<StoppedClock>::clone(&self.clock);
        let settings = Settings::new(self.path());
        Sqlite::open(&settings, clock, rules(), Arc::new(PlainReplies), role)
    }

    pub(super) fn store(&self) -> &Sqlite {
        self.store.as_ref().unwrap()
    }

    /// The process ends without a word, and another one starts.
    pub(super) fn restart(&mut self) {
        self.store = None;
        self.store = Some(self.open(Role::Bridge).unwrap());
    }

    pub(super) fn check(&self) {
        let connection = Connection::open(self.path()).unwrap();
        check_invariants(&connection);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn until(&self) -> Timestamp {
        self.now().checked_add(SignedDuration::from_secs(60)).unwrap()
    }

    pub(super) async fn record(&self, new: NewRequest) -> Recorded {
        self.store().record(vec![new]).await.unwrap().remove(0)
    }

    pub(super) async fn lease(&self, lane: Lane) -> Vec<Leased> {
        self.store().lease(lane, 100, self.until()).await.unwrap()
    }

    pub(super) async fn finish(&self, lane: Lane, leased: &[Leased], how: &Handover) {
        let handovers = leased.iter().map(|it| (it.place, how.clone())).collect();
        self.store().finish(lane, handovers).await.unwrap();
    }

    /// Publishes all that is due in a lane.
    pub(super) async fn publish(&self, lane: Lane) -> Vec<Leased> {
        let leased = self.lease(lane).await;
        self.finish(lane, &leased, &Handover::Confirmed).await;
        leased
    }

    pub(super) async fn answer(&self, new: NewAnswer) -> Settled {
        self.store().settle(vec![new]).await.unwrap().remove(0)
    }

    pub(super) async fn order(&self, order: Order) -> Ordered {
        self.store().order(&somebody(), vec![order]).await.unwrap().remove(0)
    }

    pub(super) async fn state(&self, id: RequestId) -> String {
        self.store().request(id).await.unwrap().unwrap().state
    }

    /// The outcomes of the replies made for a request.
    pub(super) async fn replies(&self, id: RequestId) -> Vec<String> {
        self.reply_views(id).await.into_iter().map(|reply| reply.outcome).collect()
    }

    pub(super) async fn reply_views(&self, id: RequestId) -> Vec<ReplyView> {
        self.store().request_messages(id).await.unwrap().unwrap().replies
    }

    pub(super) async fn error_of(&self, id: RequestId) -> ErrorView {
        let error = self.store().request(id).await.unwrap().unwrap().error.unwrap();
        self.store().error(error).await.unwrap().unwrap()
    }

    pub(super) async fn errors_open(&self) -> Vec<ErrorView> {
        self.store().errors(&ErrorQuery::default()).await.unwrap()
    }

    pub(super) async fn status_of(&self, error: ErrorId) -> ErrorStatus {
        self.store().error(error).await.unwrap().unwrap().status
    }

    pub(super) async fn kinds(&self, id: RequestId) -> Vec<String> {
        let lines = self.store().timeline(id).await.unwrap();
        lines.into_iter().map(|line| line.kind).collect()
    }
}

/// Panics if an invariant is broken anywhere in the store, or the file is not whole.
pub(super) fn check_invariants(connection: &Connection) {
    if let Some(what) = broken(connection) {
        panic!("{what}");
    }
    let dangling: i64 = connection
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(dangling, 0, "rows refer to rows that are not there");
    let whole: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

pub(super) fn somebody() -> Operator {
    Operator { name: "mia".into(), reason: "mapping mended".into() }
}

pub(super) fn sync(text: &str) -> SyncRequestId {
    SyncRequestId::new(text).unwrap()
}

/// A request with a version, for a service point, that translates.
pub(super) fn request(sync_request: &str, service_point: &str, version: u64) -> NewRequest {
    request_saying(sync_request, service_point, version, "")
}

pub(super) fn request_saying(
    sync_request: &str,
    service_point: &str,
    version: u64,
    content: &str,
) -> NewRequest {
    let payload = format!("<{sync_request} {service_point} {version} {content}>").into_bytes();
    let id = sync(sync_request);
    NewRequest {
        id: RequestId::derive(Some(&id), None, &Digest::of(&payload)),
        arrival: Arrival {
            payload,
            properties: Properties {
                content_type: Some("text/xml".into()),
                message_id: Some(format!("m-{sync_request}")),
                routing_key: "ccb.sp.sync".into(),
                ..Properties::default()
            },
        },
        sync_request: Some(id),
        service_point: Some(ServicePointId::new(service_point).unwrap()),
        revision: Revision { version: Some(version), created_at: None },
        translation: Ok(translation(&format!("{sync_request}/{version}{content}"))),
        reply_correlation: Some(format!("m-{sync_request}")),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    }
}

pub(super) fn untranslatable(sync_request: &str, service_point: &str, version: u64) -> NewRequest {
    NewRequest {
        translation: Err(unmapped()),
        ..request_saying(sync_request, service_point, version, "bad")
    }
}

pub(super) fn translation(outgoing: &str) -> Translation {
    Translation {
        kind: SubjectKind::Metered,
        outgoing: outgoing.into(),
        mapping: "a1b2c3".into(),
        passes: 0,
    }
}

pub(super) fn unmapped() -> Failure {
    Failure::of_defects(vec![Defect {
        code: FailureCode::UnmappedValue,
        rule: Some("location/nodeType".into()),
        path: Some("servicePoint/spType".into()),
        line: Some(20),
        column: Some(13),
        value: Some("E-NEW".into()),
        expected: "an entry of maps/sp-type.toml".into(),
    }])
}

pub(super) fn away() -> Failure {
    Failure::new(FailureCode::AssetsUnreachable, "vhost assets is away")
}

pub(super) fn refused() -> Failure {
    Failure::new(FailureCode::LocationRefused, "the queue is full")
}

pub(super) fn answer_to(message: MessageId, verdict: Verdict) -> NewAnswer {
    let reference = AnswerReference { message: Some(message), sync_request: None };
    answer(reference, verdict)
}

pub(super) fn answer_naming(sync_request: &str, verdict: Verdict) -> NewAnswer {
    let reference = AnswerReference { message: None, sync_request: Some(sync(sync_request)) };
    answer(reference, verdict)
}

pub(super) fn answer(reference: AnswerReference, verdict: Verdict) -> NewAnswer {
    let correlation = reference.message.map(|message| message.to_string());
    let payload = format!("<answer {:?} {}>", reference.sync_request, verdict.as_str());
    let id = AnswerId::derive(correlation.as_deref(), &Digest::of(payload.as_bytes()));
    let exception = AnswerException {
        category: "11001".into(),
        number: "305".into(),
        ..AnswerException::default()
    };
    let (keys, exceptions) = match verdict {
        Verdict::Positive => {
            let key = ExternalKey { entity: "ASSET-LOCATION".into(), value: "8842".into() };
            (vec![key], vec![])
        }
        Verdict::Negative => (vec![], vec![exception]),
    };
    NewAnswer {
        id,
        arrival: Arrival {
            payload: payload.into_bytes(),
            properties: Properties { correlation_id: correlation, ..Properties::default() },
        },
        read: Ok(Answer { reference, verdict, keys, exceptions }),
        trace: None,
    }
}

pub(super) fn order(error: ErrorId, command: Command) -> Order {
    Order { error, command, mended: None }
}

/// A retry of a request with the translation of today.
pub(super) fn retry(error: ErrorId, of: &NewRequest) -> Order {
    let mended = Mended::Request {
        translation: translation("mended"),
        sync_request: of.sync_request.clone().unwrap(),
        service_point: of.service_point.clone().unwrap(),
        revision: of.revision,
    };
    Order { error, command: Command::Retry, mended: Some(mended) }
}

/// The requests that leased locations or replies are about.
pub(super) fn requests_of(leased: &[Leased]) -> Vec<RequestId> {
    let request = |it: &Leased| match &it.message.what {
        What::Location { request, .. } | What::Reply { request, .. } => Some(*request),
        What::Note { request, .. } => *request,
    };
    leased.iter().filter_map(request).collect()
}
