//! What the journeys stand on: a broker, the real binary as a child process, and both systems
//! played by the test over plain AMQP.
//!
//! Nothing here uses the code of the bridge. Read [`site`] first.

mod answer;
mod bridge;
mod broker;
mod client;
mod command;
mod gate;
mod message;
mod raw;
mod reader;
mod request;
mod site;
mod wait;
mod xml;

pub(crate) use answer::{Refusal, negative, positive};
pub(crate) use bridge::{Bridge, signal};
pub(crate) use broker::{Shared, has_rabbitmq};
pub(crate) use client::{Client, properties};
pub(crate) use command::Output;
pub(crate) use gate::{End, Gate, Strike, Weather};
pub(crate) use message::Message;
pub(crate) use raw::{Raw, long};
pub(crate) use reader::Reader;
pub(crate) use request::{Encoding, Request, request};
pub(crate) use site::{Desk, Site, queue};
pub(crate) use wait::{fail, hold, pause, until, until_within};
pub(crate) use xml::Element;
