//! The place of a request among those of its service point: whom it overtakes, whom it waits for.
//!
//! Asked whenever a request is about to become pending: at its birth, when its turn comes, when an
//! operator retries it and when an interrupted attempt goes back to wait. So the order holds in
//! one function, whatever the way in.

use super::ids::RequestId;
use super::lifecycle::{Circumstances, State, Step, Tell};
use super::request::Revision;

/// Another request with the same service point or the same sync request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Which.
    pub id: RequestId,
    /// How new it is.
    pub revision: Revision,
    /// Where it stands.
    pub state: State,
    /// Whether an attempt to publish it is running, so that its outcome is not known.
    pub in_flight: bool,
    /// Whether it has the same sync request id: then one is a corrected resend of the other.
    pub same_sync_request: bool,
    /// Whether it arrived later.
    pub arrived_later: bool,
}

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placing {
    /// Its own place.
    pub place: Place,
    /// Whom it supersedes, oldest first as given.
    pub overtakes: Vec<RequestId>,
}

/// The place of a request among its neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It may be published now.
    Next,
    /// Another one is under way; its turn comes when that has ended.
    Behind,
    /// A newer one is under way, waiting or applied: this one must not be sent any more.
    TooLate {
        /// The newer one.
        by: RequestId,
    },
}

impl Placing {
    /// Places a request that wants to be published.
    pub fn of(revision: &Revision, neighbours: &[Neighbour]) -> Self {
        let newer = neighbours
            .iter()
            .rfind(|other| other.is_newer_than(revision) && other.state.counts_as_newer());
        if let Some(by) = newer {
            return Self { place: Place::TooLate { by: by.id }, overtakes: Vec::new() };
        }
        let overtakes: Vec<_> = neighbours
            .iter()
            .filter(|other| !other.is_newer_than(revision) && other.can_be_overtaken())
            .map(|other| other.id)
            .collect();
        let behind = neighbours
            .iter()
            .any(|other| other.state.is_under_way() && !overtakes.contains(&other.id));
        Self { place: if behind { Place::Behind } else { Place::Next }, overtakes }
    }

    /// Places a request that cannot be translated: it goes to the error queue, and takes the place
    /// of what the same sync request asked before, because billing does not want that any more.
    pub fn of_untranslatable(neighbours: &[Neighbour]) -> Vec<RequestId> {
        neighbours
            .iter()
            .filter(|other| other.same_sync_request && !other.arrived_later)
            .filter(|other| other.can_be_overtaken())
            .map(|other| other.id)
            .collect()
    }

    /// Whom a request overtakes that is applied though it was not under way: it waited, or was
    /// refused, parked or given up and so held nobody back. What is older must not follow it.
    pub fn of_applied(revision: &Revision, neighbours: &[Neighbour]) -> Vec<RequestId> {
        neighbours
            .iter()
            .filter(|other| !other.is_newer_than(revision) && other.can_be_overtaken())
            .map(|other| other.id)
            .collect()
    }
}

impl Place {
    /// What a step comes to once the place is known. Only a step that leads to `Pending` depends on
    /// it; `from` is the state before the step.
    pub fn amend(self, step: Step, from: &State, around: &Circumstances) -> Step {
        let Step::Moved { to: State::Pending { .. }, .. } = step else { return step };
        match self {
            Self::Next => step,
            // It is under way itself, and was so before.
            Self::Behind if from.is_under_way() => step,
            Self::Behind => Step::Moved { to: State::Waiting, tell: Tell::Nobody },
            Self::TooLate { by } => {
                let step = Step::Moved { to: State::Superseded { by }, tell: Tell::Billing };
                if around.corrected { step.unheard() } else { step }
            }
        }
    }
}

impl State {
    /// Whether its being newer means that an older one must not be sent. What was refused, parked
    /// or given up never reached asset management, so an older one overwrites nothing.
    fn counts_as_newer(&self) -> bool {
        match self {
            Self::Waiting
            | Self::Pending { .. }
            | Self::Published { .. }
            | Self::Overdue
            | Self::Applied => true,
            Self::Rejected | Self::Parked | Self::Superseded { .. } | Self::Discarded => false,
        }
    }
}

impl Neighbour {
    /// Version, then creation time, then arrival. Two requests with the same sync request id are
    /// told apart by arrival only: the later one is the correction.
    fn is_newer_than(&self, revision: &Revision) -> bool {
        if self.same_sync_request {
            return self.arrived_later;
        }
        if revision.is_older_than(&self.revision) {
            return true;
        }
        !self.revision.is_older_than(revision) && self.arrived_later
    }

    fn can_be_overtaken(&self) -> bool {
        match self.state {
            State::Waiting | State::Parked => true,
            State::Pending { .. } => !self.in_flight,
            State::Published { .. }
            | State::Overdue
            | State::Applied
            | State::Rejected
            | State::Superseded { .. }
            | State::Discarded => false,
        }
    }
}
