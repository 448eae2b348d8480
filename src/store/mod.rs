//! The message store: the only place that names rusqlite.
//!
//! Knows `domain` and the port [`crate::bridge::Store`]; knows nothing of brokers, mappings or
//! faces. The rules are asked of the domain; what follows from a rule mechanically (the outbox, the
//! error record, the reply, the line of the timeline, the turn of the next) is done in one place,
//! `moves.rs`, so that the invariants hold by construction.
//!
//! Read in this order: `migrations/sqlite` (the tables), `sqlite.rs` (the store as others see it),
//! `writer.rs` (group commit), `work.rs`, `requests.rs` and `moves.rs` (a transaction), `leases.rs` (what is out),
//! `payload.rs` (how bytes are kept), `fresh.rs` and `recent.rs` (what need not be read back), then one
//! file per port method: `intake.rs`, `outbox.rs`, `answers.rs`, `desk.rs`, `orders.rs`, `identity.rs`, `views.rs`.

mod answers;
mod desk;
mod error_views;
mod errors;
mod fresh;
mod identity;
mod intake;
mod leases;
mod moves;
mod open;
mod orders;
mod outages;
mod outbox;
mod payload;
mod readers;
mod recent;
mod replies;
mod requests;
mod rows;
mod sqlite;
mod statements;
mod story;
mod views;
mod work;
mod writer;

#[cfg(test)]
mod tests;

pub use open::{Migrated, Role, Settings, Status, migrate, schemas};
pub use sqlite::Sqlite;
