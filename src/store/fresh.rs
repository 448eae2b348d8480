//! Messages that were made lately and wait to be published: most are leased a moment later, and
//! need not be read back and unpacked for that. Requests that come faster than they go out are held
//! up a little, so that it stays so.
//!
//! A copy of what the outbox says, and no more: whatever is missing here is read from there.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::bridge::Outgoing;

/// How many bytes of messages are remembered of a lane.
const BYTES_MAX: usize = 2 << 20;

/// How many bytes wait in a lane when there is no room for more. What was on its way here by then
/// still finds a place.
const CROWDED: usize = BYTES_MAX / 2;

/// How long a lane that takes nothing holds up what comes.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The messages of a lane, by their place in the outbox.
#[derive(Default)]
pub(super) struct Fresh {
    messages: HashMap<i64, Outgoing>,
    bytes: usize,
    is_left: bool,
}

impl Fresh {
    /// Remembers what was put at a place, if there is room: those before it leave earlier.
    pub(super) fn remember(&mut self, place: i64, message: Outgoing) {
        if !self.is_left && self.bytes + message.payload.len() <= BYTES_MAX {
            self.bytes += message.payload.len();
            self.messages.insert(place, message);
        }
    }

    /// The message at a place, if it is remembered. Somebody takes what waits here.
    pub(super) fn take(&mut self, place: i64) -> Option<Outgoing> {
        self.is_left = false;
        self.forget(place)
    }

    /// Forgets the message at a place, which is not to be published any more.
    pub(super) fn forget(&mut self, place: i64) -> Option<Outgoing> {
        let message = self.messages.remove(&place)?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    /// Nobody takes what waits here: nothing is remembered until somebody does again.
    pub(super) fn leave(&mut self) {
        self.forget_all();
        self.is_left = true;
    }

    /// Forgets everything.
    pub(super) fn forget_all(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.bytes >= CROWDED
    }
}

/// Whether there is room for more messages, as the writer tells it.
#[derive(Default)]
pub(super) struct Room(watch::Sender<bool>);

impl Room {
    pub(super) fn tell(&self, is_crowded: bool) {
        self.0.send_if_modified(|before| std::mem::replace(before, is_crowded) != is_crowded);
    }

    /// Waits for room; not for ever, because nobody may be there who makes it. Tells whether there is.
    pub(super) async fn wait(&self) -> bool {
        if !*self.0.borrow() {
            return true;
        }
        let mut told = self.0.subscribe();
        timeout(WAIT_MAX, told.wait_for(|is_crowded| !is_crowded)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn room_is_waited_for_but_not_for_ever() {
        let room = Room::default();
        assert_eq!(room.wait().now_or_never(), Some(true));
        room.tell(true);
        assert_eq!(room.wait().now_or_never(), None);
        let (has_room, ()) = tokio::join!(room.wait(), async { room.tell(false) });
        assert!(has_room);
        room.tell(true);
        assert!(!room.wait().await);
    }
}
