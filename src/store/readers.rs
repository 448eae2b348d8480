//! Reads: a few read-only connections that never wait for the writer.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::payload::Unpacker;
use super::rows::Result;
use crate::bridge::StoreError;

/// The read-only connections.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Reader>>>,
    gate: Arc<Semaphore>,
}

/// A connection that reads, and what it has unpacked last.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) unpacker: RefCell<Unpacker>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let gate = Arc::new(Semaphore::new(connections.len()));
        let reader = |connection| Reader { connection, unpacker: RefCell::default() };
        let idle = connections.into_iter().map(reader).collect();
        Self { idle: Arc::new(Mutex::new(idle)), gate }
    }

    /// Reads from one state of the store, on a thread that may block.
    pub(super) async fn call<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T> + Send + 'static,
    {
        let gate = Arc::clone(&self.gate);
        let permit = gate.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let idle = Arc::clone(&self.idle);
        let work = move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = taken.ok_or(StoreError::Closed)?;
            let result = within_a_snapshot(&reader, read);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            drop(permit);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }
}

fn within_a_snapshot<T>(reader: &Reader, read: impl FnOnce(&Reader) -> Result<T>) -> Result<T> {
    let transaction = reader.connection.unchecked_transaction()?;
    let result = read(reader)?;
    transaction.finish()?;
    Ok(result)
}
