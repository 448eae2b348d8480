//! The store as a process sees it that may die at any call: before the commit or after it, when
//! the result is lost with everything in memory.

use std::collections::HashSet;
use std::future::pending;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use tieline::bridge::ports::{
    Counts, ErrorQuery, ErrorView, GroupView, Handover, JournalLine, Leased, NewAnswer, NewRequest,
    Operator, Order, Ordered, Outage, Recorded, RequestMessages, RequestQuery, RequestView,
    Settled, Store, Swept, TakenIn, TookIn,
};
use tieline::bridge::{Lane, Outgoing, StoreError, What};
use tieline::domain::{AnswerId, Digest, ErrorId, Failure, Fence, Mark, RequestId, SubjectKind};
use tieline::store::Sqlite;
use tokio::sync::Notify;

use super::planted::Plant;
use super::script::Mishap;

type Result<T> = std::result::Result<T, StoreError>;

/// The store of one process.
pub(super) struct Mortal {
    inner: Sqlite,
    life: Mutex<Life>,
    plant: Option<Plant>,
}

#[derive(Default)]
struct Life {
    is_dead: bool,
    /// How many calls have begun and not returned.
    calls: usize,
    armed: Option<(u64, Mishap)>,
    /// Places that were leased; and those that the process before had leased.
    leased: HashSet<i64>,
    leased_before: HashSet<i64>,
}

/// A call that has begun and not returned.
struct UnderWay<'l>(&'l Mutex<Life>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().calls -= 1;
    }
}

macro_rules! mortal {
    ($self:ident.$call:ident($($argument:expr),*)) => {{
        let _under_way = $self.begin().await;
        let due = $self.due();
        match due {
            Some(Mishap::DiesBefore) => $self.die().await,
            Some(Mishap::Fails) => return Err(StoreError::Closed),
            Some(Mishap::DiesAfter) | None => {}
        }
        let result = $self.inner.$call($($argument),*).await;
        if due == Some(Mishap::DiesAfter) || $self.is_dead() {
            $self.die().await;
        }
        result
    }};
}

impl Mortal {
    pub(super) fn new(inner: Sqlite, leased_before: HashSet<i64>, plant: Option<Plant>) -> Self {
        Self { inner, life: Mutex::new(Life { leased_before, ..Life::default() }), plant }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.life.lock().unwrap().is_dead
    }

    /// Whether no call is under way: what another thread still does would take part in what happens
    /// next, or not, as it likes.
    pub(super) fn is_quiet(&self) -> bool {
        self.life.lock().unwrap().calls == 0
    }

    pub(super) fn arm(&self, armed: Option<(u64, Mishap)>) {
        self.life.lock().unwrap().armed = armed;
    }

    pub(super) fn leased(&self) -> HashSet<i64> {
        self.life.lock().unwrap().leased.clone()
    }

    fn due(&self) -> Option<Mishap> {
        let mut life = self.life.lock().unwrap();
        let (left, mishap) = life.armed?;
        life.armed = left.checked_sub(1).map(|left| (left, mishap));
        (left == 0).then_some(mishap)
    }

    /// Begins a call, of a process that lives.
    async fn begin(&self) -> UnderWay<'_> {
        if self.is_dead() {
            pending::<()>().await;
        }
        self.life.lock().unwrap().calls += 1;
        UnderWay(&self.life)
    }

    async fn die(&self) {
        self.life.lock().unwrap().is_dead = true;
        pending::<()>().await;
    }

    fn is_planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// The spoilt lease: a request that waits for its turn goes with the window.
    async fn add_a_waiting_one(&self, leased: &mut Vec<Leased>) -> Result<()> {
        let query =
            RequestQuery { states: vec!["waiting".into()], limit: 1, ..RequestQuery::default() };
        let Some(view) = self.inner.requests(&query).await?.pop() else { return Ok(()) };
        let messages = self.inner.request_messages(view.id).await?;
        let (Some(payload), Some(sync_request), Some(service_point)) =
            (messages.and_then(|it| it.location), view.sync_request, view.service_point)
        else {
            return Ok(());
        };
        let what = What::Location {
            request: view.id,
            sync_request,
            service_point,
            kind: SubjectKind::Metered,
        };
        let message_id = view.id.location(view.edition);
        leased.push(Leased {
            place: -1,
            message: Outgoing { message_id, payload, what, trace: None },
        });
        Ok(())
    }
}

#[async_trait]
impl Store for Mortal {
    fn news(&self, lane: Lane) -> Arc<Notify> {
        self.inner.news(lane)
    }

    async fn record(&self, mut batch: Vec<NewRequest>) -> Result<Vec<Recorded>> {
        if self.is_planted(Plant::StoreForgetsACommit) && batch.len() > 1 {
            batch.pop();
            let mut recorded = mortal!(self.record(batch))?;
            recorded.push(Recorded::Known { state: "pending", repeated: false, revived: false });
            return Ok(recorded);
        }
        if self.is_planted(Plant::ResendIsNotCounted) {
            let mut known = Vec::new();
            for new in &batch {
                known.push(self.inner.request(new.id).await?.is_some());
            }
            let mut known = known.into_iter();
            batch.retain(|_| known.next() == Some(false));
        }
        mortal!(self.record(batch))
    }

    async fn settle(&self, mut batch: Vec<NewAnswer>) -> Result<Vec<Settled>> {
        if self.is_planted(Plant::AnswerAppliedTwice) {
            let again = batch.clone().into_iter().map(|answer| {
                let id = AnswerId::derive(Some("again"), &Digest::of(&answer.arrival.payload));
                NewAnswer { id, ..answer }
            });
            batch.extend(again.collect::<Vec<_>>());
        }
        if self.is_planted(Plant::AnswerToAnOlderEditionApplied) {
            for answer in batch.iter_mut().filter_map(|answer| answer.read.as_mut().ok()) {
                answer.reference.message = None;
            }
        }
        mortal!(self.settle(batch.clone()))
    }

    async fn lease(&self, lane: Lane, limit: u32, until: Timestamp) -> Result<Vec<Leased>> {
        let mut leased = mortal!(self.lease(lane, limit, until))?;
        if self.is_planted(Plant::LeaseOutlivesTheCrash) {
            leased.retain(|it| !self.life.lock().unwrap().leased_before.contains(&it.place));
        }
        if self.is_planted(Plant::RetryWithTheOldEdition) {
            for it in &mut leased {
                if let What::Location { request, .. } = it.message.what {
                    let edition = it.message.message_id.edition();
                    it.message.message_id = request.location(edition.saturating_sub(1).max(1));
                }
            }
        }
        if self.is_planted(Plant::WrongNeighbourReleased) && lane == Lane::Location {
            self.add_a_waiting_one(&mut leased).await?;
        }
        self.life.lock().unwrap().leased.extend(leased.iter().map(|it| it.place));
        Ok(leased)
    }

    async fn finish(&self, lane: Lane, mut handovers: Vec<(i64, Handover)>) -> Result<()> {
        if self.is_planted(Plant::ReplyGivenUpInSilence) && lane == Lane::Reply {
            for (_, handover) in &mut handovers {
                *handover = Handover::Confirmed;
            }
        }
        mortal!(self.finish(lane, handovers))
    }

    async fn park(&self, lane: Lane, failure: &Failure, limit: u32) -> Result<u32> {
        mortal!(self.park(lane, failure, limit))
    }

    async fn sweep(&self, limit: u32) -> Result<Swept> {
        mortal!(self.sweep(limit))
    }

    async fn take_in(&self, batch: Vec<TakenIn>) -> Result<Vec<TookIn>> {
        if self.is_planted(Plant::DeskTakesNothingIn) {
            return Ok(vec![TookIn::Known; batch.len()]);
        }
        mortal!(self.take_in(batch))
    }

    async fn order(&self, operator: &Operator, orders: Vec<Order>) -> Result<Vec<Ordered>> {
        mortal!(self.order(operator, orders))
    }

    async fn outage(&self, lane: Lane) -> Result<Option<Outage>> {
        self.inner.outage(lane).await
    }

    async fn set_outage(&self, lane: Lane, outage: Option<Outage>) -> Result<()> {
        mortal!(self.set_outage(lane, outage))
    }

    async fn parked_by_outage(
        &self,
        lane: Lane,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ErrorId>> {
        self.inner.parked_by_outage(lane, since, limit).await
    }

    async fn request(&self, id: RequestId) -> Result<Option<RequestView>> {
        self.inner.request(id).await
    }

    async fn requests(&self, query: &RequestQuery) -> Result<Vec<RequestView>> {
        self.inner.requests(query).await
    }

    async fn timeline(&self, id: RequestId) -> Result<Vec<JournalLine>> {
        self.inner.timeline(id).await
    }

    async fn error(&self, id: ErrorId) -> Result<Option<ErrorView>> {
        self.inner.error(id).await
    }

    async fn errors(&self, query: &ErrorQuery) -> Result<Vec<ErrorView>> {
        self.inner.errors(query).await
    }

    async fn error_groups(&self, query: &ErrorQuery) -> Result<Vec<GroupView>> {
        self.inner.error_groups(query).await
    }

    async fn error_message(&self, id: ErrorId) -> Result<Option<tieline::bridge::Arrival>> {
        self.inner.error_message(id).await
    }

    async fn request_messages(&self, id: RequestId) -> Result<Option<RequestMessages>> {
        self.inner.request_messages(id).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.inner.counts().await
    }

    async fn mark(&self) -> Result<Mark> {
        self.inner.mark().await
    }

    async fn written_until(&self) -> Result<Option<Timestamp>> {
        self.inner.written_until().await
    }

    async fn accept(&self, operator: &Operator, fence: &Fence) -> Result<Mark> {
        self.inner.accept(operator, fence).await
    }
}
