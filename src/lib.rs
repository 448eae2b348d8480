//! tieline: a message-broker sync bridge between a utility's billing and its asset management.
//!
//! Billing publishes service point sync requests on RabbitMQ; tieline translates each into an
//! asset location for asset management, correlates the answer with the request, and tells billing.
//! What fails is parked where an operator looks, mends and retries.
//!
//! The layers, each knowing only those below it:
//!
//! ```text
//!            main -> cli -> runtime                  assembles everything below
//!                             |
//!        +--------------------+------------------+
//!        v                    v                  v
//!   http, amqp::consumer   amqp::publisher, store   config (plain data)
//!        | drive              | implement the ports
//!        v                    v
//!        +-----> bridge (use cases and ports)
//!                    |
//!                    v
//!                transform -> domain
//! ```
//!
//! A message's walk: [`amqp::consumer`] takes a delivery, [`bridge::intake`] has it translated
//! ([`transform`]) and recorded ([`store`], which asks [`domain`] for the rules), the consumer
//! settles it; [`bridge::dispatch`] publishes what waits ([`amqp::publisher`]); the answer comes in
//! through [`bridge::answers`], and its reply goes out the same way as the location did.

// Before the others: its macro is theirs.
#[macro_use]
mod points;

pub mod amqp;
pub mod bridge;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod runtime;
pub mod standin;
pub mod store;
pub mod transform;
