//! The channel adapter on a real RabbitMQ.

mod bench;
mod consuming;
mod publishing;
mod topology;
