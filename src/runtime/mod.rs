//! Wiring: puts adapters behind ports, starts the tasks and stops them. Reads as a list of what
//! the bridge is made of.

pub mod assemble;
pub mod clock;
mod fencing;
pub mod shutdown;
pub mod sides;
mod tasks;
pub mod telemetry;
mod two_sided;

pub use assemble::{Bridge, StartError, Workshop};
pub use clock::SystemClock;
