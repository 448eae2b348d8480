//! Stand-ins for the systems on both sides: billing and asset management.
//!
//! For `tieline simulate`, `tieline demo` and the tests that kill the bridge. They judge the bridge
//! from outside, by the wire alone: they know the messages of the contract, and nothing of the
//! store, the mappings or the use cases, so that a mistake made there is not made here again.
//!
//! Read [`plan`] (what billing sends) and [`generate`] (how it looks), then [`billing`] and
//! [`assets`], then [`tally`] (what came of it).

pub mod answers;
pub mod assets;
pub mod billing;
mod broker;
pub mod fault;
pub mod generate;
mod history;
mod locations;
mod places;
pub mod plan;
mod quiet;
mod random;
mod reading;
mod replies;
mod shares;
pub mod tally;

pub use broker::Broker;
pub use tally::{Count, Ended, Live, Tally, Violation};

/// Why a stand-in did not begin, or its history is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shares are no shares.
    #[error("{0}")]
    Mix(String),
    /// The file of the history.
    #[error("write the history")]
    History(#[source] std::io::Error),
}
