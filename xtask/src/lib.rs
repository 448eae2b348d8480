//! What the tests, the benchmark and the commands of the developer tool share.
//!
//! [`broker`] runs private RabbitMQ nodes, [`measure`] has what a benchmark measures with. The
//! commands themselves belong to the binary (`src/main.rs` and a file each).

pub mod broker;
mod error;
pub mod measure;
mod user;

pub use error::{Error, Result};
pub use user::is_root;
