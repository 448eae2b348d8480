//! The queues, exchanges and bindings between billing, tieline and asset management.
//!
//! `queues/topology.toml` is the one truth: it names things, this module knows what makes them
//! safe. [`model`] reads the file, [`arguments`] says how each queue must be made, [`declare`] makes
//! it, [`check`] compares a broker with it, [`export`] writes it for the broker's own import.

mod arguments;
mod check;
mod declare;
mod export;
mod judge;
mod management;
mod model;
mod plain;
mod seen;

pub use arguments::{Argument, Version};
pub use check::{Finding, Report, Severity, View};
pub use declare::{Made, Outcome};
pub use management::{Management, ManagementError};
pub use model::{Role, Topology, TopologyError};

pub(super) use declare::queue_exists;
