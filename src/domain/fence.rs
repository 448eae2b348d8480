//! The fence: what the broker remembers of a store, so that an older copy of it, or another store,
//! is recognised before anything is published from it.
//!
//! A fence is written after what it tells of is durable, so it may be behind the store and never
//! ahead of it. A store that the fence is ahead of has lost something.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

/// Which store it is; drawn when it was made, and kept by every copy of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StoreId(Uuid);

impl StoreId {
    /// Takes an identity that was kept.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// As it is kept.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StoreId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Who a store is and how far it is. Both numbers only grow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which store it is.
    pub store: StoreId,
    /// How often somebody has said that this store counts, whatever the fence tells.
    pub epoch: i64,
    /// The store that the fence was of when that was said last.
    pub accepted: Option<StoreId>,
    /// The last line of the journal.
    pub line: i64,
    /// The last place of the outbox that was ever given.
    pub place: i64,
}

/// What the broker remembers of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fence {
    /// Which store it is.
    pub store: StoreId,
    /// The epoch of the store.
    pub epoch: i64,
    /// The last line of the journal then.
    pub line: i64,
    /// The last place of the outbox then.
    pub place: i64,
    /// The run of the bridge that wrote it: process, machine, start.
    pub run: String,
    /// When it was written.
    pub at: Timestamp,
}

/// How a store stands to a fence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// There is no fence.
    Alone,
    /// The store has everything that the fence tells of, or somebody has said that it counts.
    Well,
    /// The fence is ahead: the store lacks what was done after it was copied.
    Behind,
    /// The fence is of another store.
    Foreign,
}

impl Mark {
    /// Whether nothing was ever to be published from the store: nothing of it can be out of date.
    pub fn is_blank(&self) -> bool {
        self.place == 0
    }

    /// The fence of the store as it is.
    pub fn fence(&self, run: &str, at: Timestamp) -> Fence {
        let &Self { store, epoch, line, place, .. } = self;
        Fence { store, epoch, line, place, run: run.to_owned(), at }
    }

    /// How the store stands to a fence. An epoch is raised above that of the fence which it
    /// accepts, so a fence of a lower epoch is of before.
    pub fn against(&self, fence: Option<&Fence>) -> Standing {
        let Some(fence) = fence else { return Standing::Alone };
        let is_own = fence.store == self.store;
        if fence.epoch < self.epoch && (is_own || self.accepted == Some(fence.store)) {
            Standing::Well
        } else if !is_own {
            Standing::Foreign
        } else if fence.epoch > self.epoch || fence.line > self.line || fence.place > self.place {
            Standing::Behind
        } else {
            Standing::Well
        }
    }

    /// The epoch that outdoes a fence.
    pub fn epoch_above(&self, fence: &Fence) -> i64 {
        self.epoch.max(fence.epoch) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: StoreId = StoreId(Uuid::from_u128(1));
    const OTHER: StoreId = StoreId(Uuid::from_u128(2));

    fn mark(epoch: i64, line: i64, place: i64) -> Mark {
        Mark { store: OURS, epoch, accepted: None, line, place }
    }

    fn fence(store: StoreId, epoch: i64, line: i64, place: i64) -> Fence {
        let mark = Mark { store, ..mark(epoch, line, place) };
        mark.fence("process 1", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_store_is_behind_if_either_number_is() {
        let store = mark(1, 10, 5);
        assert_eq!(store.against(None), Standing::Alone);
        for (line, place, standing) in [
            (10, 5, Standing::Well),
            (9, 4, Standing::Well),
            (11, 5, Standing::Behind),
            (10, 6, Standing::Behind),
        ] {
            assert_eq!(store.against(Some(&fence(OURS, 1, line, place))), standing);
        }
    }

    #[test]
    fn an_epoch_outdoes_every_number_of_the_fence_that_it_accepts_and_no_other() {
        let mut store = mark(2, 10, 5);
        assert_eq!(store.against(Some(&fence(OURS, 1, 99, 99))), Standing::Well);
        assert_eq!(store.against(Some(&fence(OURS, 3, 1, 1))), Standing::Behind);
        assert_eq!(store.against(Some(&fence(OTHER, 1, 1, 1))), Standing::Foreign);
        store.accepted = Some(OTHER);
        assert_eq!(store.against(Some(&fence(OTHER, 1, 99, 99))), Standing::Well);
        assert_eq!(store.against(Some(&fence(OTHER, 2, 1, 1))), Standing::Foreign);
        assert_eq!(store.epoch_above(&fence(OTHER, 7, 1, 1)), 8);
    }
}
