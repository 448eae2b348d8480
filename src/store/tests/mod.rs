//! The promises of the port, told as stories on a store in a file. After each story every
//! invariant is checked over the whole store.

mod files;
mod invariants;
mod news;
mod odd_pairs;
mod operators;
mod pace;
mod random;
mod stories;
mod timeline;
mod world;
