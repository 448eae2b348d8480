//! The message store in an SQLite file: one writer, a few readers.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::Notify;

use super::fresh::Room;
use super::leases::Leases;
use super::open::{self, Role, Settings, Status};
use super::readers::Readers;
use super::rows::Result;
use super::work::{Context, News};
use super::writer::Writer;
use super::{error_views, identity, outages, views};
use crate::bridge::Arrival;
use crate::bridge::ports::{
    Clock, Counts, ErrorQuery, ErrorView, GroupView, Handover, JournalLine, Lane, Leased,
    NewAnswer, NewRequest, Operator, Order, Ordered, Outage, Recorded, ReplyWriter,
    RequestMessages, RequestQuery, RequestView, Rules, Settled, Store, Swept, TakenIn, TookIn,
};
use crate::domain::{ErrorId, Failure, Fence, Mark, RequestId};

/// The message store in an SQLite file.
pub struct Sqlite {
    settings: Settings,
    // Before the lock: dropped first, so that the next owner finds nobody at work.
    writer: Writer,
    readers: Readers,
    context: Arc<Context>,
    _lock: Option<File>,
}

impl Sqlite {
    /// Opens the store, makes it or brings it to the schema of this version. A bridge locks it. What
    /// the process before had leased is leased again, under the same message ids and with the same
    /// bytes.
    pub fn open(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        rules: Rules,
        replies: Arc<dyn ReplyWriter>,
        role: Role,
    ) -> Result<Self> {
        let lock = open::prepare(settings, role)?;
        let connection = open::connect_writer(settings)?;
        let leases = Leases::new(role, highest_place(&connection)?);
        let readers: Result<Vec<_>> =
            (0..settings.readers.max(1)).map(|_| open::connect_reader(settings)).collect();
        let (news, room) = (News::default(), Room::default());
        let context = Arc::new(Context { clock, rules, replies, news, room });
        let writer =
            Writer::start(connection, Arc::clone(&context), leases, settings.batch_max.max(1))?;
        let settings = settings.clone();
        Ok(Self { settings, writer, readers: Readers::new(readers?), context, _lock: lock })
    }

    /// What the store is like: schema, sizes, counts.
    pub async fn status(&self) -> Result<Status> {
        let path = self.settings.path.clone();
        let bytes = size(&path.to_string_lossy());
        let log_bytes = size(&format!("{}-wal", path.display()));
        self.readers
            .call(move |reader| {
                let schema = open::schema(&path, &reader.connection)?;
                let counts = views::counts(&reader.connection)?;
                Ok(Status { path, schema, bytes, log_bytes, counts })
            })
            .await
    }
}

fn highest_place(connection: &Connection) -> Result<i64> {
    const HIGHEST: &str = "SELECT coalesce(max(place), 0) FROM outbox WHERE lane = 0";
    Ok(connection.query_row(HIGHEST, [], |row| row.get(0))?)
}

/// The size of a file; nothing if it is not there.
fn size(path: &str) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[async_trait]
impl Store for Sqlite {
    async fn record(&self, batch: Vec<NewRequest>) -> Result<Vec<Recorded>> {
        let has_room = self.context.room.wait().await;
        self.writer.call(move |work| work.record(&batch, has_room)).await
    }

    async fn settle(&self, batch: Vec<NewAnswer>) -> Result<Vec<Settled>> {
        self.writer.call(move |work| work.settle(&batch)).await
    }

    async fn lease(&self, lane: Lane, limit: u32, until: Timestamp) -> Result<Vec<Leased>> {
        self.writer.call(move |work| work.lease(lane, limit, until)).await
    }

    fn news(&self, lane: Lane) -> Arc<Notify> {
        Arc::clone(self.context.news.of(lane))
    }

    async fn finish(&self, lane: Lane, handovers: Vec<(i64, Handover)>) -> Result<()> {
        self.writer.call(move |work| work.finish(lane, &handovers)).await
    }

    async fn park(&self, lane: Lane, failure: &Failure, limit: u32) -> Result<u32> {
        let failure = failure.clone();
        self.writer.call(move |work| work.park(lane, &failure, limit)).await
    }

    async fn sweep(&self, limit: u32) -> Result<Swept> {
        self.writer.call(move |work| work.sweep(limit)).await
    }

    async fn take_in(&self, batch: Vec<TakenIn>) -> Result<Vec<TookIn>> {
        self.writer.call(move |work| work.take_in(&batch)).await
    }

    async fn order(&self, operator: &Operator, orders: Vec<Order>) -> Result<Vec<Ordered>> {
        let operator = operator.clone();
        self.writer.call(move |work| work.order(&operator, &orders)).await
    }

    async fn outage(&self, lane: Lane) -> Result<Option<Outage>> {
        self.readers.call(move |reader| outages::outage(&reader.connection, lane)).await
    }

    async fn set_outage(&self, lane: Lane, outage: Option<Outage>) -> Result<()> {
        self.writer.call(move |work| work.set_outage(lane, outage.as_ref())).await
    }

    async fn parked_by_outage(
        &self,
        lane: Lane,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ErrorId>> {
        self.readers
            .call(move |reader| {
                error_views::parked_by_outage(&reader.connection, lane, since, limit)
            })
            .await
    }

    async fn mark(&self) -> Result<Mark> {
        self.readers.call(|reader| identity::mark(&reader.connection)).await
    }

    async fn written_until(&self) -> Result<Option<Timestamp>> {
        self.readers.call(|reader| identity::written_until(&reader.connection)).await
    }

    async fn accept(&self, operator: &Operator, fence: &Fence) -> Result<Mark> {
        let (operator, fence) = (operator.clone(), fence.clone());
        self.writer.call(move |work| work.accept(&operator, &fence)).await
    }

    async fn request(&self, id: RequestId) -> Result<Option<RequestView>> {
        self.readers.call(move |reader| views::request(&reader.connection, id)).await
    }

    async fn requests(&self, query: &RequestQuery) -> Result<Vec<RequestView>> {
        let query = query.clone();
        self.readers.call(move |reader| views::requests(&reader.connection, &query)).await
    }

    async fn timeline(&self, id: RequestId) -> Result<Vec<JournalLine>> {
        self.readers.call(move |reader| views::timeline(&reader.connection, id)).await
    }

    async fn error(&self, id: ErrorId) -> Result<Option<ErrorView>> {
        let query = ErrorQuery { ids: vec![id], limit: 1, ..ErrorQuery::default() };
        Ok(self.errors(&query).await?.into_iter().next())
    }

    async fn errors(&self, query: &ErrorQuery) -> Result<Vec<ErrorView>> {
        let query = query.clone();
        self.readers.call(move |reader| error_views::errors(&reader.connection, &query)).await
    }

    async fn error_groups(&self, query: &ErrorQuery) -> Result<Vec<GroupView>> {
        let query = query.clone();
        self.readers.call(move |reader| error_views::error_groups(&reader.connection, &query)).await
    }

    async fn error_message(&self, id: ErrorId) -> Result<Option<Arrival>> {
        self.readers.call(move |reader| error_views::error_message(reader, id)).await
    }

    async fn request_messages(&self, id: RequestId) -> Result<Option<RequestMessages>> {
        self.readers.call(move |reader| views::request_messages(reader, id)).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.readers.call(|reader| views::counts(&reader.connection)).await
    }
}
