//! The use cases of the bridge and the ports through which they reach the world.
//!
//! Knows `domain`, `transform` and its own ports; knows nothing of lapin, SQL or HTTP. Read in the
//! order of a message: [`message`], [`ports`], then one file per use case.

pub mod message;
pub mod ports;

pub use message::{Arrival, HeaderValue, Outgoing, Properties};
pub use ports::{Handover, Lane, Publisher, Store, StoreError};
