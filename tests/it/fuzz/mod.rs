//! Inputs by the million: what a person would not think of, made of what a person did.
//!
//! [`engine`] mutates and runs, [`mutate`] is how, [`target`] is what a target is. One file per
//! kind of input holds what must be so for every one: [`messages`] (requests and answers),
//! [`mappings`], [`settings`] (and AMQP URLs), [`properties`].
//!
//! Every `cargo test` runs the corpus and some mutations from a fixed seed;
//! `cargo xtask fuzz TARGET` runs for as long as it is told.

mod engine;
mod mappings;
mod messages;
mod mutate;
mod properties;
mod settings;
mod target;
