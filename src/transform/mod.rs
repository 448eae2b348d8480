//! The message translator: bytes in, bytes or defects out.
//!
//! Pure: no async, no clock, no logging. Only [`load`] touches the disk, and only to read the
//! folder of mappings once. What a message means to the bridge (requests, retries, replies) is
//! not known here.
//!
//! Read in this order, which is the order that a message takes: [`encoding`] makes text of the
//! bytes, [`xml`] reads it strictly, [`reading`] keeps what the mapping asks for, [`awake`] finds the
//! [`rule`]s that have something to say of it, [`translate`] applies them and [`write`] writes the
//! result. [`catalog`] holds it all together.
//! How a mapping becomes those tables: [`toml_tree`], [`path`], [`mapping`], [`load`].

mod answer;
mod attributes;
mod awake;
mod catalog;
mod characters;
mod check;
mod diagnostic;
mod difference;
mod encoding;
mod load;
mod mapping;
mod namespaces;
mod path;
mod reading;
mod reply;
mod rule;
mod samples;
mod source;
mod target;
mod toml_tree;
mod translate;
mod value_map;
mod values;
mod write;
mod xml;

#[cfg(test)]
mod tests;

pub use catalog::{Catalog, Recognised, Translated};
pub use diagnostic::{LoadErrors, Problem};
pub use difference::pretty_xml;
pub use encoding::ContentType;
pub use samples::{SampleOutcome, SampleResult};
pub use xml::Limits;
