//! Stories from the promise, one theme a file: the real binary on a real RabbitMQ, with both
//! systems played over plain AMQP. They know queues, messages, commands and exit codes, and
//! nothing of the code.

mod answers;
mod bulk;
mod crash;
mod desk;
mod encodings;
mod fence;
mod good;
mod http;
mod mappings;
mod operator;
mod order;
mod overdue;
mod poison;
mod properties;
mod replies;
mod resends;
mod secrets;
mod standby;
mod starting;
mod store;
mod tools;
mod traces;
mod two_brokers;
mod unreachable;
mod unreadable;
