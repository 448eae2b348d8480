//! tieline: a message-broker sync bridge between a utility's billing and its asset management.

pub mod amqp;
pub mod bridge;
pub mod config;
pub mod domain;
pub mod store;
pub mod transform;
