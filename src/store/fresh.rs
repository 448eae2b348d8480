//! Messages that were made lately and wait to be published: most are leased a moment later, and
//! need not be read back and unpacked for that.
//!
//! A copy of what the outbox says, and no more: whatever is missing here is read from there.

use std::collections::HashMap;

use crate::bridge::Outgoing;

/// How many bytes of messages are remembered.
const BYTES_MAX: usize = 4 << 20;

/// The messages, by their place in the outbox.
#[derive(Default)]
pub(super) struct Fresh {
    messages: HashMap<i64, Outgoing>,
    bytes: usize,
}

impl Fresh {
    /// Remembers what was put at a place, if there is room: those before it leave earlier.
    pub(super) fn remember(&mut self, place: i64, message: Outgoing) {
        if self.bytes + message.payload.len() <= BYTES_MAX {
            self.bytes += message.payload.len();
            self.messages.insert(place, message);
        }
    }

    /// The message at a place, if it is remembered.
    pub(super) fn take(&mut self, place: i64) -> Option<Outgoing> {
        let message = self.messages.remove(&place)?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    /// Forgets everything.
    pub(super) fn forget_all(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}
