//! The channel adapter: the only place that names lapin.
//!
//! Knows the bridge's ports and messages; knows nothing of the store, the rules or the
//! translation. Read in this order: [`connection`] (one connection, with our own supervision),
//! [`headers`] (properties in and out), [`consumer`] (deliveries to the bridge, then settled),
//! `careful` (what lapin cannot read), `watch` (what is not delivered), [`publisher`] (windows of
//! publishes, confirmed as a whole), [`topology`] (the queues), [`fence`] (what the broker remembers of
//! the store). Beside the way lie `told` (what the broker says of a queue), [`facts`] and [`greeting`],
//! for those who ask how a broker is.
//!
//! lapin's own recovery stays off everywhere: it can leave a consumer silent for ever, and a
//! delivery tag of one connection can name another message on the next. Every connection here is
//! a numbered generation; what belongs to one never touches another.

pub mod backoff;
mod careful;
pub mod connection;
pub mod consumer;
pub mod facts;
pub mod fence;
pub mod greeting;
pub mod headers;
mod problem;
pub mod publisher;
mod session;
mod told;
pub mod topology;
mod watch;
mod window;

pub use connection::{Endpoint, EndpointError};
pub use consumer::Consumer;
pub use fence::FenceQueue;
pub use problem::{BrokerError, ConnectError};
pub use publisher::{Publisher, RawMessage};
pub use topology::{Role, Topology, TopologyError};
