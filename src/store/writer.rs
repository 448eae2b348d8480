//! The one writer: takes the calls that wait at a moment, runs them in one transaction, commits
//! once and then answers each.
//!
//! So every call is durable before it returns, at the price of one fsync per batch. If a call of a
//! batch fails, or the commit, the whole is undone and each call runs in a transaction of its own:
//! one that fails takes no other with it.

use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::leases::Leases;
use super::payload::Bundle;
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
        leases: Leases,
        batch_max: usize,
    ) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let bundle = Bundle::new()?;
        let run = move || {
            run(&mut Work::new(&connection, &context, leases, bundle), waiting, batch_max);
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::Work {
                what: "start the store's writer",
                source: Box::new(error),
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does the work in a transaction and returns once it is committed. Work that was handed over
    /// is done, even if the caller no longer waits; done again from the start, if the transaction
    /// had to be undone.
    pub(super) async fn call<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Work<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call = Box::new(Call { work, result: None, answer });
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
    /// Answers the caller; with the reason if the work could not be committed.
    fn answer(self: Box<Self>, uncommitted: Option<&str>);
}

struct Call<T, F> {
    work: F,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: Fn(&mut Work<'_>) -> Result<T> + Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        self.result.insert((self.work)(work)).is_ok()
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

fn run(work: &mut Work<'_>, mut waiting: mpsc::Receiver<Box<dyn Job>>, batch_max: usize) {
    let mut batch: Vec<Box<dyn Job>> = Vec::with_capacity(batch_max);
    while let Some(first) = waiting.blocking_recv() {
        batch.push(first);
        while batch.len() < batch_max
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let together = transact(work, &mut batch);
        if together.is_ok() || batch.len() == 1 {
            let why = together.err();
            batch.drain(..).for_each(|job| job.answer(why.as_deref()));
            continue;
        }
        for mut job in batch.drain(..) {
            let alone = transact(work, std::slice::from_mut(&mut job));
            job.answer(alone.err().as_deref());
        }
    }
}

/// Runs jobs in one transaction; tells why it was undone, if it was.
fn transact(work: &mut Work<'_>, jobs: &mut [Box<dyn Job>]) -> Result<(), String> {
    let done = work.begin().map_err(StoreError::from).and_then(|()| {
        point!("store.begun", return Err(crate::points::full()));
        let done = jobs.iter_mut().all(|job| {
            work.begin_call();
            job.run(work)
        });
        let done = done || planted!("commits half a call");
        if done { work.commit().map(|()| true) } else { Ok(false) }
    });
    match done {
        Ok(true) => Ok(()),
        Ok(false) => {
            work.undo();
            Err("another call of the transaction failed".to_owned())
        }
        Err(error) => {
            work.undo();
            Err(error.to_string())
        }
    }
}
