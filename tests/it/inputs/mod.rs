//! Bad inputs, one row each: what is sent to the running binary, and what must come of it. After
//! each a good message on the same queue goes the whole way.
//!
//! [`table`] is what a row is, [`requests`] sends rows as billing would, [`measure`] is what a row
//! may cost. The rows: [`xml`] and [`sizes`] (bodies), [`envelope`] (properties), [`answers`].

mod answers;
mod envelope;
mod measure;
mod requests;
mod sizes;
mod table;
mod xml;

pub(crate) use answers::small_answers;
pub(crate) use xml::small_bodies;
