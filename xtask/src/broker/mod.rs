//! Private `RabbitMQ` nodes: started for a test, a demo or a bench, and gone afterwards.
//!
//! A [`Node`] listens on 127.0.0.1 only, on ports of its own, keeps its data in a directory of its
//! own and talks to an `epmd` of its own, so that any number of them run beside each other and
//! beside a `RabbitMQ` of the machine. A node ends with the process that started it, whichever way
//! that process ends (`watcher.rs`).
//!
//! This module must not know what the nodes are for: no queue of the bridge is named here.

mod install;

pub use install::Install;
