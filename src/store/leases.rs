//! Which places of the outbox are out with a publisher.
//!
//! Kept in memory: a bridge has its store for itself, so its leases end with it. What the process
//! before may have handed over is told by the place: all that was in the outbox when this one
//! opened it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::open::Role;

/// The leases of a process.
pub(super) struct Leases {
    role: Role,
    /// The highest place that was in the outbox when the store was opened.
    found: i64,
    given: HashMap<i64, Lease>,
    /// What the given ones were before the transaction at work.
    before: Vec<(i64, Option<Lease>)>,
}

/// A lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    /// Whose place it is: `requests.seq`, `replies.seq` or `errors.id`.
    pub(super) subject: i64,
    pub(super) until: Timestamp,
}

impl Leases {
    pub(super) fn new(role: Role, found: i64) -> Self {
        Self { role, found, given: HashMap::new(), before: Vec::new() }
    }

    /// The lease of a place, also one that ran out.
    pub(super) fn of(&self, place: i64) -> Option<Lease> {
        self.given.get(&place).copied()
    }

    /// Whether a place may be leased.
    pub(super) fn is_free(&self, place: i64, now: Timestamp) -> bool {
        self.of(place).is_none_or(|lease| lease.until <= now)
    }

    /// Whether an attempt may be running. A lease that ran out counts: its outcome is not known. A
    /// command beside the bridge does not know the bridge's leases.
    pub(super) fn may_be_out(&self, place: i64) -> bool {
        match self.role {
            Role::Bridge => self.given.contains_key(&place),
            Role::Operator => true,
        }
    }

    /// Whether the place was in the outbox when the store was opened, if it is one of a location.
    pub(super) fn was_found(&self, place: i64) -> bool {
        place <= self.found
    }

    /// Whether what stands at a place may ever have been handed over from there. A command beside
    /// the bridge takes only what is written down: an answer that an operator tries again must not
    /// settle what was never sent. What is on its way now it can settle a moment later.
    pub(super) fn may_have_been_out(&self, place: i64) -> bool {
        match self.role {
            Role::Bridge => self.was_found(place) || self.may_be_out(place),
            Role::Operator => false,
        }
    }

    pub(super) fn give(&mut self, place: i64, lease: Lease) {
        let before = self.given.insert(place, lease);
        self.before.push((place, before));
    }

    pub(super) fn end(&mut self, place: i64) {
        if let Some(before) = self.given.remove(&place) {
            self.before.push((place, Some(before)));
        }
    }

    /// The transaction is committed.
    pub(super) fn keep(&mut self) {
        self.before.clear();
    }

    /// The transaction is undone.
    pub(super) fn undo(&mut self) {
        while let Some((place, before)) = self.before.pop() {
            match before {
                Some(lease) => self.given.insert(place, lease),
                None => self.given.remove(&place),
            };
        }
    }
}
