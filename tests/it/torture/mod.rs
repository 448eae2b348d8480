//! The torture rig: mixed contents from a seed, through a bridge that is killed, cut off, starved and
//! frozen by a schedule; at the end everything that either system saw is compared with what the
//! store says.
//!
//! Read [`run`] (what happens), then a schedule ([`kills`] is the shortest), then [`checker`] (what
//! must hold). `docs/reliability.md` tells how to repeat it at any scale.

mod books;
mod broker;
mod checker;
mod clock;
mod cluster;
mod counts;
mod disk;
mod endurance;
mod evidence;
mod freeze;
mod kills;
mod limits;
mod network;
mod plan;
mod planted;
mod points;
mod progress;
pub(crate) mod random;
mod reading;
mod report;
mod run;
mod settled;
mod standin;
