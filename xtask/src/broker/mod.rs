//! Private RabbitMQ nodes: started for a test, a demo or a bench, and gone afterwards.
//!
//! A [`Node`] listens on 127.0.0.1 only, on ports of its own, keeps its data in a directory of its
//! own and talks to an `epmd` of its own, so that any number of them run beside each other and
//! beside a RabbitMQ of the machine. A node ends with the process that started it, whichever way
//! that process ends (`watcher.rs`), so a test binary may keep one in a `static`:
//!
//! ```no_run
//! use std::sync::OnceLock;
//! use xtask::broker::{Node, Vhost};
//!
//! static NODE: OnceLock<Node> = OnceLock::new();
//!
//! fn vhost(test: &str) -> Vhost {
//!     NODE.get_or_init(|| Node::start().unwrap()).vhost(test).unwrap()
//! }
//! ```
//!
//! A [`Cluster`] is several of them that are one broker together.
//!
//! A node is of the machine's own RabbitMQ, or of the one that the environment or its [`Options`] name
//! ([`Install`]): so everything can be tried on another version.
//!
//! This module must not know what the nodes are for: no queue of the bridge is named here.

mod cluster;
mod environment;
mod install;
mod node;
mod options;
mod ports;
mod process;
mod vhost;
mod watcher;

pub use cluster::Cluster;
pub use install::Install;
pub use node::Node;
pub use options::Options;
pub use vhost::Vhost;
