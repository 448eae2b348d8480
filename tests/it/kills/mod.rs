//! The kill test: mixed faults from a seed, through a bridge that is killed and restarted on the
//! way; at the end everything that either system saw is compared with what the store says.
//!
//! Read [`run`] (what happens), then [`checker`] (what must hold). `docs/reliability.md` tells how
//! to repeat it at any scale.

mod books;
mod checker;
mod counts;
mod evidence;
mod limits;
mod plan;
mod planted;
mod progress;
mod run;
