//! Who does the work in a turn: the bridge, or the program that stands in its place.

use std::path::Path;

use crate::Result;
use crate::pass_through::{self, Sizes};
use crate::program::Program;
use crate::site::Site;

/// Who does the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contender {
    /// The bridge, with a store of its own that is empty.
    Bridge,
    /// The program that passes messages through.
    PassThrough(Sizes),
}

impl Contender {
    /// The name, as shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::PassThrough(_) => pass_through::NAME,
        }
    }

    /// Starts it in a room.
    pub(crate) fn start(self, site: &Site, room: &Path) -> Result<Program> {
        match self {
            Self::Bridge => site.start_bridge(room),
            Self::PassThrough(sizes) => {
                Program::start(&mut pass_through::command(&site.url(), sizes)?, room)
            }
        }
    }
}
