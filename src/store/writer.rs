//! The one writer: takes the calls that wait at a moment, runs each in a savepoint of one
//! transaction, commits once and then answers each.
//!
//! So every call is durable before it returns, at the price of one fsync per batch. A call that
//! fails undoes its own savepoint; a commit that fails fails every call of the batch.

use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::rows::Result;
use super::work::{Context, Work};
use crate::bridge::StoreError;

/// How many calls wait for the writer before further callers wait to be let in.
const QUEUE_MAX: usize = 1024;

/// The writer's thread, and the way to it.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the writer's thread, which owns the connection from then on.
    pub(super) fn start(
        connection: Connection,
        context: Arc<Context>,
        batch_max: usize,
    ) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&connection, &context, waiting, batch_max))
            .map_err(|error| StoreError::Work {
                what: "start the store's writer",
                source: Box::new(error),
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does the work in a transaction and returns once it is committed. Work that was handed over
    /// is done, even if the caller no longer waits.
    pub(super) async fn call<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call = Box::new(Call { work: Some(work), result: None, answer });
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(call).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    /// Lets the writer finish what waits, so that the file is free once this returns.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

trait Job: Send {
    /// Does the work. Tells whether it succeeded; the result is kept for the answer.
    fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// Answers the caller; with the reason if the batch could not be committed.
    fn answer(self: Box<Self>, uncommitted: Option<&str>);
}

struct Call<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&mut Work<'_>) -> Result<T> + Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        self.result = self.work.take().map(|call| call(work));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, uncommitted: Option<&str>) {
        let result = match (self.result, uncommitted) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(why)) => {
                Err(StoreError::Work { what: "commit to the message store", source: why.into() })
            }
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(StoreError::Closed),
        };
        // A caller that no longer waits has been cut short; its work is done all the same.
        drop(self.answer.send(result));
    }
}

fn run(
    connection: &Connection,
    context: &Context,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    batch_max: usize,
) {
    let mut batch: Vec<Box<dyn Job>> = Vec::with_capacity(batch_max);
    while let Some(first) = waiting.blocking_recv() {
        batch.push(first);
        while batch.len() < batch_max
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let failed = commit(connection, context, &mut batch).err().map(|error| error.to_string());
        if failed.is_some() && !connection.is_autocommit() {
            // Whatever stands half done must not reach the next batch.
            drop(connection.execute_batch("ROLLBACK"));
        }
        for job in batch.drain(..) {
            job.answer(failed.as_deref());
        }
    }
}

fn commit(
    connection: &Connection,
    context: &Context,
    batch: &mut [Box<dyn Job>],
) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut work = Work::new(connection, context);
    for job in batch {
        connection.prepare_cached("SAVEPOINT job")?.execute([])?;
        work.begin();
        if job.run(&mut work) {
            work.keep();
        } else {
            // A full disk or a broken page ends the whole transaction; then this fails too.
            connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        connection.prepare_cached("RELEASE job")?.execute([])?;
    }
    work.write_tallies()?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}
