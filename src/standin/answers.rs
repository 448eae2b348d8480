//! What asset management answers, and how: drawn from the run's seed, the sync request id and the
//! revision, so that it does not depend on timing or on the order of arrival.

use quick_xml::escape::partial_escape;

use super::random::{Random, number_of};
use super::tally::Count;

/// The namespace of answers.
const NAMESPACE: &str = "urn:tieline:wam:sync-response:1";

/// What the keys of the stand-in begin with, so that billing's stand-in knows them.
const KEY_PREFIX: &str = "99";

mod draw {
    pub(super) const ANSWER: u64 = 21;
}

/// Which share of the asset locations is answered how. What no share takes is answered positively.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AnswerMix {
    /// Refused, with category, number and parameters.
    pub negative: f64,
    /// Answered positively, twice.
    pub doubled: f64,
    /// Answered positively, then negatively.
    pub positive_then_negative: f64,
    /// Answered negatively, then positively: the target's own retry succeeded.
    pub negative_then_positive: f64,
    /// Never answered.
    pub silent: f64,
    /// Answered with something that is no answer.
    pub malformed: f64,
    /// Answered positively, besides an answer to somebody who never asked.
    pub orphan: f64,
    /// Answered without `correlation_id`: by `externalReferenceId` only.
    pub by_body_only: f64,
    /// Of the answers, whatever they say: late.
    pub late: f64,
}

impl AnswerMix {
    /// Positive answers only.
    pub const POSITIVE: Self = Self {
        negative: 0.0,
        doubled: 0.0,
        positive_then_negative: 0.0,
        negative_then_positive: 0.0,
        silent: 0.0,
        malformed: 0.0,
        orphan: 0.0,
        by_body_only: 0.0,
        late: 0.0,
    };

    /// Tells what is wrong with the shares, if something is.
    pub fn check(&self) -> Result<(), String> {
        super::shares::check(&[
            ("negative", self.negative),
            ("doubled", self.doubled),
            ("positive then negative", self.positive_then_negative),
            ("negative then positive", self.negative_then_positive),
            ("silent", self.silent),
            ("malformed", self.malformed),
            ("orphan", self.orphan),
            ("by body only", self.by_body_only),
        ])?;
        super::shares::check(&[("late", self.late)])
    }
}

impl Default for AnswerMix {
    /// A day at a utility: mostly positive, a little of everything else that ends.
    fn default() -> Self {
        Self {
            negative: 0.03,
            doubled: 0.01,
            positive_then_negative: 0.002,
            negative_then_positive: 0.005,
            silent: 0.0,
            malformed: 0.002,
            orphan: 0.002,
            by_body_only: 0.02,
            late: 0.01,
        }
    }
}

/// What an asset location is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AnswerKind {
    Positive,
    Negative,
    Doubled,
    PositiveThenNegative,
    NegativeThenPositive,
    Silent,
    Malformed,
    WithOrphan,
    ByBodyOnly,
}

/// What an asset location is answered, and whether in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    pub kind: AnswerKind,
    pub is_late: bool,
}

impl Choice {
    /// Chooses for a request.
    pub fn of(seed: u64, mix: &AnswerMix, sync_request: &str, revision: u32) -> Self {
        let parts = [seed, draw::ANSWER, number_of(sync_request), u64::from(revision)];
        let mut random = Random::of(&parts);
        let mut left = random.fraction();
        let shares = [
            (mix.negative, AnswerKind::Negative),
            (mix.doubled, AnswerKind::Doubled),
            (mix.positive_then_negative, AnswerKind::PositiveThenNegative),
            (mix.negative_then_positive, AnswerKind::NegativeThenPositive),
            (mix.silent, AnswerKind::Silent),
            (mix.malformed, AnswerKind::Malformed),
            (mix.orphan, AnswerKind::WithOrphan),
            (mix.by_body_only, AnswerKind::ByBodyOnly),
        ];
        let falls_to = |(share, _): &&(f64, AnswerKind)| {
            left -= share;
            left < 0.0
        };
        let kind = shares.iter().find(falls_to).map_or(AnswerKind::Positive, |(_, kind)| *kind);
        Self { kind, is_late: random.happens(mix.late) }
    }
}

impl AnswerKind {
    /// The stable name, as written to histories.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Doubled => "doubled",
            Self::PositiveThenNegative => "positive_then_negative",
            Self::NegativeThenPositive => "negative_then_positive",
            Self::Silent => "silent",
            Self::Malformed => "malformed",
            Self::WithOrphan => "with_orphan",
            Self::ByBodyOnly => "by_body_only",
        }
    }

    pub(super) fn count(self) -> Count {
        match self {
            Self::Positive => Count::AnsweredPositive,
            Self::Negative => Count::AnsweredNegative,
            Self::Doubled => Count::AnsweredDoubled,
            Self::PositiveThenNegative => Count::AnsweredPositiveThenNegative,
            Self::NegativeThenPositive => Count::AnsweredNegativeThenPositive,
            Self::Silent => Count::AnsweredSilent,
            Self::Malformed => Count::AnsweredMalformed,
            Self::WithOrphan => Count::AnsweredWithOrphan,
            Self::ByBodyOnly => Count::AnsweredByBodyOnly,
        }
    }

    /// Whether asset management refused the location at first, so that an older one may follow.
    pub(super) fn refuses(self) -> bool {
        matches!(self, Self::Negative | Self::NegativeThenPositive)
    }

    /// Whether it tells what became of the location, so that the bridge may send the next one.
    pub(super) fn concludes(self) -> bool {
        !matches!(self, Self::Silent | Self::Malformed)
    }

    fn says(self) -> &'static [Says] {
        match self {
            Self::Positive | Self::ByBodyOnly => &[Says::Positive],
            Self::Negative => &[Says::Negative],
            Self::Doubled => &[Says::Positive, Says::Positive],
            Self::PositiveThenNegative => &[Says::Positive, Says::Negative],
            Self::NegativeThenPositive => &[Says::Negative, Says::Positive],
            Self::Silent => &[],
            Self::Malformed => &[Says::Nonsense],
            Self::WithOrphan => &[Says::Orphan, Says::Positive],
        }
    }
}

/// What one answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Says {
    Positive,
    Negative,
    Nonsense,
    Orphan,
}

/// An asset location, as far as its answers depend on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub message: String,
    pub sync_request: String,
    pub service_point: String,
    pub revision: u32,
}

/// An answer, ready for publishing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub message: String,
    pub correlation: Option<String>,
    pub says: Says,
    pub payload: Vec<u8>,
}

/// Writes the answers to an asset location, in their order.
pub(super) fn write(kind: AnswerKind, asked: &Asked) -> Vec<Answer> {
    let one = |(number, says): (usize, &Says)| {
        let correlation = match (kind, says) {
            (AnswerKind::ByBodyOnly, _) => None,
            // The shape of an id that the bridge could have given out, but never did.
            (_, Says::Orphan) => {
                let mut random = Random::of(&[number_of(&asked.message)]);
                Some(format!("ffffffff-0000-5000-8000-{:012x}", random.below(1 << 48)))
            }
            (_, Says::Positive | Says::Negative | Says::Nonsense) => Some(asked.message.clone()),
        };
        let message = format!("wam-{}-{}", asked.message, number + 1);
        Answer { message, correlation, says: *says, payload: says.payload(asked) }
    };
    kind.says().iter().enumerate().map(one).collect()
}

/// The key of the asset location that stands for a service point: 12 characters, as node ids have.
fn key(service_point: &str) -> String {
    format!("{KEY_PREFIX}{service_point}")
}

/// The service point that a key stands for, if it is one of this stand-in.
pub(super) fn key_of(key: &str) -> Option<&str> {
    key.strip_prefix(KEY_PREFIX).filter(|_| key.len() == 12)
}

/// Why asset management refuses: category, number, parameters.
const REASONS: &[(&str, &str, &[&str])] = &[
    ("11502", "13001", &["E-RES", "Asset location type is not defined for this service area"]),
    ("11502", "13003", &["Time zone does not match that of the service area"]),
    ("11502", "13101", &["Address could not be validated", "postal code"]),
    ("11502", "14001", &["W1-NODE", "record is locked by another user & was not changed"]),
    // Codes that no error-code map has: they are told with the generic ones.
    ("11503", "10210", &["Cost center", "is not effective on", "2025-03-14"]),
    ("3", "253", &["Unexpected error < see log >"]),
];

impl Says {
    /// The stable name, as written to histories.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Nonsense => "nonsense",
            Self::Orphan => "orphan",
        }
    }

    fn payload(self, asked: &Asked) -> Vec<u8> {
        let mut random = Random::of(&[number_of(&asked.sync_request), u64::from(asked.revision)]);
        let own_id = format!("1{:013}", random.below(10_000_000_000_000));
        let reference = match self {
            Self::Orphan => "00000000000000",
            Self::Positive | Self::Negative | Self::Nonsense => &asked.sync_request,
        };
        let reference = partial_escape(reference);
        let begin = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<syncResponse xmlns=\"{NAMESPACE}\">\n\
             <externalReferenceId>{reference}</externalReferenceId>\n\
             <syncRequestId>{own_id}</syncRequestId>\n"
        );
        let rest = match self {
            Self::Positive | Self::Orphan => {
                let key = key(&asked.service_point);
                let key = partial_escape(&key);
                format!(
                    "<boStatus>SYNCED</boStatus>\n<productionPkValue1>{key}</productionPkValue1>\n\
                     </syncResponse>\n"
                )
            }
            Self::Negative => reason(REASONS[random.index(REASONS.len())]),
            Self::Nonsense => "<boStatus>SYN".to_owned(),
        };
        (begin + &rest).into_bytes()
    }
}

fn reason((category, number, parameters): (&str, &str, &[&str])) -> String {
    let parameter = |(place, text): (usize, &&str)| {
        let (place, text) = (place + 1, partial_escape(*text));
        format!(
            "<items><parameterSequence>{place}</parameterSequence>\
             <messageParameterValue>{text}</messageParameterValue></items>\n"
        )
    };
    let parameters: String = parameters.iter().enumerate().map(parameter).collect();
    format!(
        "<boStatus>ERROR</boStatus>\n<hasError>true</hasError>\n<exceptionInfo><items>\n\
         <sequence>1</sequence>\n<messageCategory>{category}</messageCategory>\n\
         <messageNumber>{number}</messageNumber>\n\
         <messageParameters>\n{parameters}</messageParameters>\n</items></exceptionInfo>\n\
         </syncResponse>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::reading::Reading;

    fn asked() -> Asked {
        Asked {
            message: "6f1c0000-0000-5000-8000-000000000001".into(),
            sync_request: "85810617092033".into(),
            service_point: "3996166619".into(),
            revision: 2,
        }
    }

    fn reading(answer: &Answer) -> Reading {
        Reading::of(&answer.payload).unwrap()
    }

    #[test]
    fn a_choice_depends_on_seed_request_and_revision_only() {
        let mix = AnswerMix { negative: 0.5, late: 0.5, ..AnswerMix::POSITIVE };
        let choose = |seed, id, revision| Choice::of(seed, &mix, id, revision);
        assert_eq!(choose(1, "85810617092033", 1), choose(1, "85810617092033", 1));
        let many: Vec<_> = (0..1_000).map(|revision| choose(1, "8581", revision)).collect();
        let negative = many.iter().filter(|it| it.kind == AnswerKind::Negative).count();
        assert!((430..570).contains(&negative), "{negative}");
        let silent = AnswerMix { silent: 1.0, ..AnswerMix::POSITIVE };
        assert_eq!(Choice::of(1, &silent, "1", 1).kind, AnswerKind::Silent);
    }

    #[test]
    fn a_positive_answer_names_request_and_key() {
        let answers = write(AnswerKind::Positive, &asked());
        let reading = reading(&answers[0]);
        assert_eq!(reading.first("externalReferenceId"), Some("85810617092033"));
        assert_eq!(reading.first("boStatus"), Some("SYNCED"));
        let key = reading.first("productionPkValue1").unwrap();
        assert_eq!((key.len(), key_of(key)), (12, Some("3996166619")));
        assert_eq!(answers[0].correlation.as_deref(), Some(asked().message.as_str()));
    }

    #[test]
    fn a_negative_answer_says_why() {
        let reading = reading(&write(AnswerKind::Negative, &asked())[0]);
        assert_eq!(reading.first("hasError"), Some("true"));
        for name in ["messageCategory", "messageNumber", "messageParameterValue"] {
            assert!(reading.first(name).is_some(), "{name}");
        }
    }

    #[test]
    fn odd_answers_are_what_they_are_called() {
        let says = |kind| write(kind, &asked()).iter().map(|it| it.says).collect::<Vec<_>>();
        assert_eq!(says(AnswerKind::PositiveThenNegative), [Says::Positive, Says::Negative]);
        assert_eq!(says(AnswerKind::NegativeThenPositive), [Says::Negative, Says::Positive]);
        assert_eq!(says(AnswerKind::Silent), []);
        let doubled = write(AnswerKind::Doubled, &asked());
        assert_eq!(doubled[0].payload, doubled[1].payload);
        assert!(Reading::of(&write(AnswerKind::Malformed, &asked())[0].payload).is_err());
        assert_eq!(write(AnswerKind::ByBodyOnly, &asked())[0].correlation, None);
        let orphan = &write(AnswerKind::WithOrphan, &asked())[0];
        assert_ne!(reading(orphan).first("externalReferenceId"), Some("85810617092033"));
    }
}
