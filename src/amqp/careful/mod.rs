//! A second, small AMQP client that reads whatever a broker delivers, one message at a time.
//!
//! RabbitMQ takes and confirms messages whose properties lapin cannot read: short strings that are
//! not UTF-8, headers that no longer fit a frame once the broker has added its delivery count. lapin
//! gives the connection up, the message comes again, and everything behind it stands still. Then
//! this client takes over until the message is recorded and settled. It is slow, and only for that.
//!
//! [`frames`] (what is on the wire), [`properties`] (what of them can be read), [`reader`] (a
//! consumer that gives one after the other).

mod frames;
mod properties;
mod reader;

pub(super) use reader::Reader;
