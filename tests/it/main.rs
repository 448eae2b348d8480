//! What the bridge promises, held from outside: against real brokers, stores and programs.
//!
//! One binary, so that it is linked once and all tests share one broker. Names are sentences.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod amqp;
mod architecture;
mod cmd;
mod docs;
mod fuzz;
mod golden;
mod inputs;
mod journeys;
mod lifecycle;
mod news;
mod simulation;
mod standin;
mod support;
mod torture;
mod transforms;
