//! The channel adapter on a real RabbitMQ.

pub(crate) mod bench;
mod consuming;
mod fence;
mod outages;
mod publishing;
mod stalled;
mod topology;
mod traps;
mod unreadable;
