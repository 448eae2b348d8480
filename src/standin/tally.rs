//! What came of a run: counts while it runs, violations with examples, and the sum at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Serialize, Serializer};

/// How many examples of one violation are kept.
const EXAMPLES_MAX: usize = 5;

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($(#[$item_doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $kind { $($(#[$item_doc])* $name,)* }

        impl $kind {
            /// Every one, in the order of showing.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name, as shown and written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

named! {
    /// What is counted.
    Count {
        /// Billing: messages of the plan that were published, by kind.
        Good = "good",
        Newer = "newer",
        Corrected = "corrected",
        Duplicate = "duplicate",
        Malformed = "malformed",
        Unmapped = "unmapped",
        Missing = "missing",
        TooLong = "too_long",
        /// Publishes in all.
        Sent = "sent",
        /// Of them: confirmed by the broker.
        Confirmed = "confirmed",
        /// Of them: not confirmed, and so published again.
        SentAgain = "sent_again",
        /// Billing: replies as they came.
        Replies = "replies",
        /// Of them: a message id that had come before, with the same bytes.
        RepliesRepeated = "replies_repeated",
        Positive = "positive",
        Negative = "negative",
        Applied = "applied",
        Rejected = "rejected",
        Parked = "parked",
        Superseded = "superseded",
        Discarded = "discarded",
        /// Good requests that were parked: an outage, or a mapping that knows less than it should.
        GoodParked = "good_parked",
        /// Broken requests that were applied: somebody mended them.
        BrokenApplied = "broken_applied",
        /// Requests, counting corrections, of which billing was told at least once.
        RequestsTold = "requests_told",
        /// Sync requests of which billing must be told and was not yet.
        SyncRequestsUntold = "sync_requests_untold",
        /// Asset management: asset locations as they came.
        Locations = "locations",
        /// Of them: a message id that had come before, with the same bytes.
        LocationsRepeated = "locations_repeated",
        /// Of them: new.
        LocationsNew = "locations_new",
        /// New, yet with a content that came under another message id before: sent again by an
        /// operator or after an outage.
        ContentsRepeated = "contents_repeated",
        /// New and older than one that was refused: allowed, for nothing was overwritten.
        OlderAfterRefused = "older_after_refused",
        /// New while another of the same service point was not answered yet.
        Overlapping = "overlapping",
        /// Answers decided, by kind.
        AnsweredPositive = "answered_positive",
        AnsweredNegative = "answered_negative",
        AnsweredDoubled = "answered_doubled",
        AnsweredPositiveThenNegative = "answered_positive_then_negative",
        AnsweredNegativeThenPositive = "answered_negative_then_positive",
        AnsweredSilent = "answered_silent",
        AnsweredMalformed = "answered_malformed",
        AnsweredWithOrphan = "answered_with_orphan",
        AnsweredByBodyOnly = "answered_by_body_only",
        /// Of all: late.
        AnsweredLate = "answered_late",
    }
}

named! {
    /// What must never happen.
    Violation {
        /// One message id carried two bodies.
        MessageIdReused = "message_id_reused",
        /// A message came without a message id.
        NoMessageId = "no_message_id",
        /// A message cannot be read, or is not of the agreed kind.
        Unreadable = "unreadable",
        /// A property or header of the contract is missing or wrong.
        Property = "property",
        /// A reply names a sync request that was never sent.
        NeverSent = "never_sent",
        /// A reply carries the correlation id of nobody.
        Uncorrelated = "uncorrelated",
        /// The header says another outcome than the body.
        OutcomeContradictsBody = "outcome_contradicts_body",
        /// A reply carries the key of another service point.
        KeyOfAnother = "key_of_another",
        /// A negative reply says no reason.
        NoReason = "no_reason",
        /// An older revision of a service point came after a newer one.
        OlderAfterNewer = "older_after_newer",
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Everything that was awaited came.
    Settled,
    /// Nothing came for a while.
    Quiet,
    /// It was stopped.
    Stopped,
}

/// Counts and violations while a run goes on; shared with whoever shows them.
#[derive(Debug)]
pub struct Live {
    counts: Vec<AtomicU64>,
    violations: Mutex<BTreeMap<Violation, Examples>>,
}

#[derive(Clone, Debug, Default)]
struct Examples {
    count: u64,
    examples: Vec<String>,
}

impl Live {
    /// Nothing yet.
    pub fn new() -> Self {
        let counts = Count::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { counts, violations: Mutex::default() }
    }

    /// How many of these so far.
    pub fn count(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// How many violations so far.
    pub fn violations(&self) -> u64 {
        let violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        violations.values().map(|examples| examples.count).sum()
    }

    pub(super) fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    pub(super) fn add_many(&self, count: Count, many: u64) {
        self.counts[count as usize].fetch_add(many, Ordering::Relaxed);
    }

    pub(super) fn set(&self, count: Count, value: u64) {
        self.counts[count as usize].store(value, Ordering::Relaxed);
    }

    pub(super) fn violate(&self, violation: Violation, example: String) {
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        let examples = violations.entry(violation).or_default();
        examples.count += 1;
        if examples.examples.len() < EXAMPLES_MAX {
            examples.examples.push(example);
        }
    }

    /// The sum, without what never happened.
    pub(super) fn tally(&self, role: &'static str, ended: Ended) -> Tally {
        let counted = |count: &Count| (*count, self.count(*count));
        let counts = Count::ALL.iter().map(counted).filter(|(_, many)| *many > 0).collect();
        let violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        let violations = violations
            .iter()
            .map(|(violation, examples)| Violated {
                violation: *violation,
                count: examples.count,
                examples: examples.examples.clone(),
            })
            .collect();
        Tally { role, ended, counts, untold: Vec::new(), violations }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tally {
    /// `billing` or `assets`.
    pub role: &'static str,
    /// How it ended.
    pub ended: Ended,
    /// What was counted at least once.
    pub counts: BTreeMap<Count, u64>,
    /// The first few sync requests of which billing must be told and was not.
    pub untold: Vec<String>,
    /// What must never happen, and did.
    pub violations: Vec<Violated>,
}

/// A violation that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Violated {
    /// What.
    pub violation: Violation,
    /// How often.
    pub count: u64,
    /// The first few.
    pub examples: Vec<String>,
}

impl Tally {
    /// How many of these.
    pub fn count(&self, count: Count) -> u64 {
        self.counts.get(&count).copied().unwrap_or(0)
    }

    /// Whether nothing happened that must not.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = match self.ended {
            Ended::Settled => "everything settled",
            Ended::Quiet => "nothing came any more",
            Ended::Stopped => "stopped",
        };
        writeln!(f, "{}: {ended}", self.role)?;
        for (count, many) in &self.counts {
            writeln!(f, "  {:<34}{many:>10}", count.as_str().replace('_', " "))?;
        }
        if !self.untold.is_empty() {
            writeln!(f, "  untold: {}", self.untold.join("; "))?;
        }
        if self.is_clean() {
            return writeln!(f, "  no violations");
        }
        for Violated { violation, count, examples } in &self.violations {
            let name = violation.as_str().replace('_', " ");
            writeln!(f, "  VIOLATION {name:<24}{count:>10}")?;
            for example in examples {
                writeln!(f, "    {example}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_shows_what_happened_and_keeps_a_few_examples() {
        let live = Live::new();
        live.add_many(Count::Sent, 12);
        for number in 0..10 {
            live.violate(Violation::NeverSent, format!("reply {number}"));
        }
        let tally = live.tally("billing", Ended::Settled);
        assert_eq!(tally.count(Count::Sent), 12);
        assert_eq!((tally.violations[0].count, tally.violations[0].examples.len()), (10, 5));
        let shown = tally.to_string();
        assert!(shown.contains("VIOLATION never sent"), "{shown}");
        assert!(!shown.contains("replies"), "{shown}");
        let json = serde_json::to_string(&tally).unwrap();
        assert!(json.starts_with(r#"{"role":"billing","ended":"settled","counts":{"sent":12}"#));
    }
}
