//! The life of a request: one total transition function.
//!
//! ```text
//!            +---------+  turn   +---------+ confirmed +-----------+ overdue +---------+
//!  arrival ->| Waiting |-------->| Pending |---------->| Published |-------->| Overdue |
//!            +---------+         +---------+           +-----------+         +---------+
//!                 |                |  ^  outage,         |      |  answer        |
//!      overtaken  |                |  |  dead-lettered   v      v                v
//!                 v          retry |  +--------------- Parked  Applied / Rejected
//!            Superseded            +-----------------> Parked --discard--> Discarded
//! ```
//!
//! Four parties can move a request: our own publishing, asset management, billing by a resend or
//! a newer request, and an operator. Each state answers to each event; the reason for every odd
//! pair stands beside it.

use jiff::{SignedDuration, Timestamp};

use super::answer::Verdict;
use super::failure::Failure;
use super::ids::RequestId;
use super::reply::Sign;

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Waits for its turn: another request of the same service point is under way.
    Waiting,
    /// Waits to be published, for the first time or again.
    Pending {
        /// How often publishing it failed for its own fault since it was last put here.
        tries: u32,
        /// Not before this time.
        due: Timestamp,
    },
    /// The broker has the asset location; no answer yet.
    Published {
        /// When the answer is overdue.
        answer_due: Timestamp,
    },
    /// The broker has it, and the answer is late. It no longer holds back its service point.
    Overdue,
    /// Asset management has it; billing is told.
    Applied,
    /// Asset management refused it; billing is told. Only a late positive answer can follow.
    Rejected,
    /// On the error queue.
    Parked,
    /// A newer request took its place. Final.
    Superseded {
        /// The newer one.
        by: RequestId,
    },
    /// An operator gave it up. Can be restored.
    Discarded,
}

/// Something that happens to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Our own attempt to publish it ended.
    Published(Outcome),
    /// Asset management's side was unreachable for longer than `unreachable.park_after`.
    Outage(Failure),
    /// The asset location came back from asset management's queue.
    DeadLettered(Failure),
    /// Asset management answered.
    Answered(Verdict),
    /// `answer.timeout` passed without an answer.
    AnswerTimedOut,
    /// What it waited behind is no longer under way.
    Turn,
    /// A newer request of the same service point, or a corrected resend of the same sync
    /// request, takes its place.
    Overtaken {
        /// The newer one.
        by: RequestId,
    },
    /// Billing sent the identical message again.
    Resent {
        /// Whether it can be translated with the mapping of today.
        translates: bool,
    },
    /// An operator's command.
    Commanded(Command),
}

/// How an attempt to publish ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The broker has it.
    Confirmed {
        /// When the answer will be overdue.
        answer_due: Timestamp,
    },
    /// This message failed while others went through: its own fault.
    Failed(Failure),
    /// Cut short by a stop or by an outage of the whole leg: nobody's failure, not counted.
    Interrupted,
}

/// What an operator can do with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Send it again, translated with the mapping of today.
    Retry,
    /// Give it up.
    Discard,
    /// Take back a discard.
    Restore,
}

/// What of its surroundings decides how a request takes an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Circumstances {
    /// Now.
    pub now: Timestamp,
    /// How often a message may fail for its own fault.
    pub retry: RetryPolicy,
    /// Whether it was ever handed to the broker: only then can there be an answer.
    pub attempted: bool,
    /// What billing was last told about it.
    pub told: Option<Sign>,
    /// Whether billing has corrected it: a later request of the same sync request answers for it.
    pub corrected: bool,
    /// Whether an answer or a returned message is about an older edition than today's: it was
    /// translated and sent again since.
    pub outdated: bool,
}

/// How often and when a message that fails for its own fault is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// How many tries it has in all.
    pub tries_max: u32,
    /// The delay after the first failure; it doubles with each further one.
    pub delay_min: SignedDuration,
    /// The longest delay.
    pub delay_max: SignedDuration,
}

impl RetryPolicy {
    /// The delay after so many failures.
    pub fn delay(&self, failures: u32) -> SignedDuration {
        let doubled = 1_i32.checked_shl(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        self.delay_min.checked_mul(doubled.max(1)).map_or(self.delay_max, |d| d.min(self.delay_max))
    }
}

/// How a request takes an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// It moves.
    Moved {
        /// The next state.
        to: State,
        /// Whether billing hears of it.
        tell: Tell,
    },
    /// It stays, and billing gets the last reply about its sync request once more, under the same
    /// message id; if it was corrected since, that is the correction's.
    Repeated,
    /// It stays; counted and journalled.
    Ignored(Ignored),
    /// It stays, and the operator is told why.
    Refused(Refused),
}

impl Step {
    /// The same step with nothing new for billing. To billing, a sync request is one record: after its
    /// correction is under way, a positive reply about what it said before would end the record,
    /// and a negative one would fail it.
    pub(super) fn unheard(self) -> Self {
        match self {
            Self::Moved { to, .. } => Self::Moved { to, tell: Tell::Nobody },
            Self::Repeated | Self::Ignored(_) | Self::Refused(_) => self,
        }
    }
}

/// Whether a move is told to billing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tell {
    /// Yes: the next state says what.
    Billing,
    /// No: nothing ended, or billing knows it already.
    Nobody,
}

/// Why an event changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// The same outcome is known already.
    AlreadySettled,
    /// An answer against a positive one that billing was told. It goes to the error queue.
    Contradiction,
    /// An answer to what was never sent. It goes to the error queue.
    NeverSent,
    /// About an attempt or an edition that something else has settled meanwhile.
    Stale,
    /// An identical resend of a request that is under way.
    UnderWay,
}

/// Why a command was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Only what is parked can be retried or discarded.
    NotParked,
    /// Only what is discarded can be restored.
    NotDiscarded,
    /// A newer request of the same service point took its place.
    Superseded {
        /// The newer one.
        by: RequestId,
    },
}

impl State {
    /// How a request in this state takes the event. Total: every pair has its answer. A step that
    /// leads to `Pending` is then placed: see [`super::place::Place::amend`].
    pub fn on(&self, event: &Event, around: &Circumstances) -> Step {
        let step = self.take(event, around);
        if around.corrected { step.unheard() } else { step }
    }

    fn take(&self, event: &Event, around: &Circumstances) -> Step {
        match event {
            Event::Published(outcome) => self.published(outcome, around),
            Event::Outage(_) => self.cut_off(),
            Event::DeadLettered(_) => self.dead_lettered(around),
            Event::Answered(verdict) => self.answered(*verdict, around),
            Event::AnswerTimedOut => self.timed_out(),
            Event::Turn => self.turn(around),
            Event::Overtaken { by } => self.overtaken(*by),
            Event::Resent { translates } => self.resent(*translates, around),
            Event::Commanded(command) => self.commanded(*command, around),
        }
    }

    /// Whether it holds back later requests of its service point.
    pub fn is_under_way(&self) -> bool {
        match self {
            Self::Pending { .. } | Self::Published { .. } => true,
            Self::Waiting
            | Self::Overdue
            | Self::Applied
            | Self::Rejected
            | Self::Parked
            | Self::Superseded { .. }
            | Self::Discarded => false,
        }
    }

    /// The stable name, as stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending { .. } => "pending",
            Self::Published { .. } => "published",
            Self::Overdue => "overdue",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Parked => "parked",
            Self::Superseded { .. } => "superseded",
            Self::Discarded => "discarded",
        }
    }

    fn published(&self, outcome: &Outcome, around: &Circumstances) -> Step {
        let Self::Pending { tries, .. } = *self else {
            // An answer overtook the confirm, or a newer request took the place meanwhile.
            return Step::Ignored(Ignored::Stale);
        };
        match outcome {
            Outcome::Confirmed { answer_due } => {
                moved(Self::Published { answer_due: *answer_due }, Tell::Nobody)
            }
            Outcome::Failed(_) if tries + 1 >= around.retry.tries_max => {
                moved(Self::Parked, Tell::Billing)
            }
            Outcome::Failed(_) => {
                let due = later(around.now, around.retry.delay(tries + 1));
                moved(Self::Pending { tries: tries + 1, due }, Tell::Nobody)
            }
            Outcome::Interrupted => moved(Self::Pending { tries, due: around.now }, Tell::Nobody),
        }
    }

    fn cut_off(&self) -> Step {
        match self {
            Self::Pending { .. } => moved(Self::Parked, Tell::Billing),
            // What waits for its turn waits for another request, not for the other side; the
            // rest is not on its way there.
            Self::Waiting
            | Self::Published { .. }
            | Self::Overdue
            | Self::Applied
            | Self::Rejected
            | Self::Parked
            | Self::Superseded { .. }
            | Self::Discarded => Step::Ignored(Ignored::Stale),
        }
    }

    fn dead_lettered(&self, around: &Circumstances) -> Step {
        if around.outdated {
            return Step::Ignored(Ignored::Stale);
        }
        match self {
            // Pending too: the message can come back before its confirm is recorded.
            Self::Pending { .. } | Self::Published { .. } | Self::Overdue => {
                moved(Self::Parked, Tell::Billing)
            }
            // It was answered before it came back, or something else ended it.
            Self::Waiting
            | Self::Applied
            | Self::Rejected
            | Self::Parked
            | Self::Superseded { .. }
            | Self::Discarded => Step::Ignored(Ignored::Stale),
        }
    }

    fn answered(&self, verdict: Verdict, around: &Circumstances) -> Step {
        if !around.attempted {
            return Step::Ignored(Ignored::NeverSent);
        }
        match (self, verdict) {
            // What was refused is not what is sent now: the retry gets an answer of its own. A
            // positive answer counts whatever the edition: it exists.
            (
                Self::Waiting
                | Self::Pending { .. }
                | Self::Published { .. }
                | Self::Overdue
                | Self::Parked,
                Verdict::Negative,
            ) if around.outdated => Step::Ignored(Ignored::Stale),
            // Pending: the answer overtook its confirm, which is proof enough of the handover.
            // Waiting: a retry waits for its turn while the answer to the older edition comes in.
            // Parked: it was given up in doubt, and had arrived after all.
            (
                Self::Waiting
                | Self::Pending { .. }
                | Self::Published { .. }
                | Self::Overdue
                | Self::Parked,
                Verdict::Positive,
            ) => moved(Self::Applied, Tell::Billing),
            (
                Self::Waiting
                | Self::Pending { .. }
                | Self::Published { .. }
                | Self::Overdue
                | Self::Parked,
                Verdict::Negative,
            ) => moved(Self::Rejected, Tell::Billing),
            // Asset management tries again by itself: its last word wins, and billing gets both.
            (Self::Rejected, Verdict::Positive) => moved(Self::Applied, Tell::Billing),
            // An operator gave it up, yet it exists: the truth wins.
            (Self::Discarded, Verdict::Positive) => moved(Self::Applied, Tell::Billing),
            (Self::Applied, Verdict::Positive)
            | (Self::Rejected | Self::Discarded, Verdict::Negative)
            | (Self::Superseded { .. }, Verdict::Positive | Verdict::Negative) => {
                Step::Ignored(Ignored::AlreadySettled)
            }
            // Billing was told that it exists; a machine must not take that back.
            (Self::Applied, Verdict::Negative) => Step::Ignored(Ignored::Contradiction),
        }
    }

    fn timed_out(&self) -> Step {
        match self {
            // Nothing is invented: it is listed and alarmed, and a late answer still settles it.
            Self::Published { .. } => moved(Self::Overdue, Tell::Nobody),
            Self::Waiting
            | Self::Pending { .. }
            | Self::Overdue
            | Self::Applied
            | Self::Rejected
            | Self::Parked
            | Self::Superseded { .. }
            | Self::Discarded => Step::Ignored(Ignored::Stale),
        }
    }

    fn turn(&self, around: &Circumstances) -> Step {
        match self {
            Self::Waiting => moved(Self::Pending { tries: 0, due: around.now }, Tell::Nobody),
            Self::Pending { .. }
            | Self::Published { .. }
            | Self::Overdue
            | Self::Applied
            | Self::Rejected
            | Self::Parked
            | Self::Superseded { .. }
            | Self::Discarded => Step::Ignored(Ignored::Stale),
        }
    }

    fn overtaken(&self, by: RequestId) -> Step {
        match self {
            Self::Waiting | Self::Pending { .. } | Self::Parked => {
                moved(Self::Superseded { by }, Tell::Billing)
            }
            // Asset management has it already or said its word; the newer one follows it.
            Self::Published { .. }
            | Self::Overdue
            | Self::Applied
            | Self::Rejected
            | Self::Superseded { .. }
            | Self::Discarded => Step::Ignored(Ignored::AlreadySettled),
        }
    }

    fn resent(&self, translates: bool, around: &Circumstances) -> Step {
        match self {
            Self::Waiting | Self::Pending { .. } | Self::Published { .. } => {
                Step::Ignored(Ignored::UnderWay)
            }
            // Asset management may have lost it. The same message id and bytes go out once more;
            // a receiver that has it recognises the repeat.
            Self::Overdue => moved(Self::Pending { tries: 0, due: around.now }, Tell::Nobody),
            // The mapping was mended since: billing's resend is as good as an operator's retry.
            Self::Parked if translates => {
                moved(Self::Pending { tries: 0, due: around.now }, Tell::Nobody)
            }
            Self::Applied
            | Self::Rejected
            | Self::Parked
            | Self::Superseded { .. }
            | Self::Discarded => Step::Repeated,
        }
    }

    fn commanded(&self, command: Command, around: &Circumstances) -> Step {
        match (self, command) {
            (Self::Parked, Command::Retry) => {
                moved(Self::Pending { tries: 0, due: around.now }, Tell::Nobody)
            }
            (Self::Parked, Command::Discard) => {
                // Billing hears of a failure when it is parked; it is told once, not twice.
                let knows = around.told == Some(Sign::Negative);
                moved(Self::Discarded, if knows { Tell::Nobody } else { Tell::Billing })
            }
            (Self::Discarded, Command::Restore) => moved(Self::Parked, Tell::Nobody),
            (Self::Superseded { by }, Command::Retry | Command::Discard | Command::Restore) => {
                Step::Refused(Refused::Superseded { by: *by })
            }
            (
                Self::Waiting
                | Self::Pending { .. }
                | Self::Published { .. }
                | Self::Overdue
                | Self::Applied
                | Self::Rejected
                | Self::Discarded,
                Command::Retry | Command::Discard,
            ) => Step::Refused(Refused::NotParked),
            (
                Self::Waiting
                | Self::Pending { .. }
                | Self::Published { .. }
                | Self::Overdue
                | Self::Applied
                | Self::Rejected
                | Self::Parked,
                Command::Restore,
            ) => Step::Refused(Refused::NotDiscarded),
        }
    }
}

fn moved(to: State, tell: Tell) -> Step {
    Step::Moved { to, tell }
}

/// The sum, or the end of time.
fn later(now: Timestamp, delay: SignedDuration) -> Timestamp {
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_doubles_up_to_its_limit() {
        let policy = RetryPolicy {
            tries_max: 5,
            delay_min: SignedDuration::from_secs(1),
            delay_max: SignedDuration::from_secs(30),
        };
        let delays: Vec<_> = (0..8).map(|n| policy.delay(n).as_secs()).collect();
        assert_eq!(delays, [1, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(policy.delay(u32::MAX).as_secs(), 30);
    }
}
