//! What the tests and the commands of the developer tool share.
//!
//! [`broker`] runs private RabbitMQ nodes. The commands themselves belong to the binary
//! (`src/main.rs` and a file each).

pub mod broker;
mod error;

pub use error::{Error, Result};
