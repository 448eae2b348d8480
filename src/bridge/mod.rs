//! The use cases of the bridge and the ports through which they reach the world.
//!
//! Knows `domain`, `transform` and its own ports; knows nothing of lapin, SQL or HTTP. Read in the
//! order of a message: [`message`] and [`ports`] for the words, then [`intake`] (a request comes
//! in), [`dispatch`] (what waits goes out) and [`outage`] (it does not), [`answers`] (asset management
//! answers), [`desk`] (what lands on an error queue), [`sweep`] (what is late), [`operator`] (a person
//! looks and mends), [`fence`] and [`gate`] (whether this bridge and its store are the ones),
//! [`health`] (how it all stands).

pub mod answers;
pub mod desk;
pub mod dispatch;
pub mod fence;
pub mod gate;
pub mod health;
pub mod intake;
pub mod message;
pub mod operator;
pub mod outage;
pub mod ports;
pub mod sweep;
pub mod trace;
pub mod transforms;

pub use health::Health;
pub use message::{Arrival, HeaderValue, Outgoing, Properties, What, header};
pub use ports::{Clock, Handler, Handover, Lane, Leased, Publisher, Store, StoreError};
pub use transforms::Transforms;
