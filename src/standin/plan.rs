//! What the stand-in of billing sends, in which order: a sequence that follows from a seed.
//!
//! The sequence is drawn as it is needed and keeps only what was sent lately, so it may be long.

use std::collections::VecDeque;

use crate::domain::FailureCode;

use super::fault::{Fault, Malformed, Swapped};
use super::generate::{Draft, Generator};
use super::random::Random;

/// How many service points are kept in mind for repeats, corrections and newer requests.
const RECENT_MAX: usize = 64;

/// How many requests of one service point are kept in mind.
const RECENT_REQUESTS_MAX: usize = 4;

mod draw {
    pub(super) const SEQUENCE: u64 = 11;
    pub(super) const STYLE: u64 = 12;
}

/// Which share of the messages is what. What no share takes is a good, first request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Mix {
    pub malformed: f64,
    pub unmapped: f64,
    pub missing: f64,
    pub too_long: f64,
    /// Identical resends of something sent lately.
    pub duplicate: f64,
    /// Other content under a sync request id sent lately, half of them after a broken one.
    pub corrected: f64,
    /// Newer requests of a service point sent lately.
    pub newer: f64,
    /// Of the service points: items, not meters.
    pub items: f64,
    /// Of the messages: in UTF-16 or ISO-8859-1.
    pub encodings: f64,
    /// Of the sync requests: without any properties.
    pub bare: f64,
}

impl Mix {
    /// Good first requests only.
    pub const GOOD: Self = Self {
        malformed: 0.0,
        unmapped: 0.0,
        missing: 0.0,
        too_long: 0.0,
        duplicate: 0.0,
        corrected: 0.0,
        newer: 0.0,
        items: 0.0,
        encodings: 0.0,
        bare: 0.0,
    };

    /// Tells what is wrong with the shares, if something is.
    pub fn check(&self) -> Result<(), String> {
        let named = [
            ("malformed", self.malformed),
            ("unmapped", self.unmapped),
            ("missing", self.missing),
            ("too long", self.too_long),
            ("duplicate", self.duplicate),
            ("corrected", self.corrected),
            ("newer", self.newer),
        ];
        super::shares::check(&named)?;
        super::shares::check(&[("items", self.items)])?;
        super::shares::check(&[("encodings", self.encodings)])?;
        super::shares::check(&[("bare", self.bare)])
    }
}

impl Default for Mix {
    /// A day at a utility: mostly good, a little of everything else.
    fn default() -> Self {
        Self {
            malformed: 0.005,
            unmapped: 0.01,
            missing: 0.005,
            too_long: 0.005,
            duplicate: 0.02,
            corrected: 0.02,
            newer: 0.05,
            items: 0.1,
            encodings: 0.01,
            bare: 0.01,
        }
    }
}

/// What kind of message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    Good,
    Newer,
    Corrected,
    Duplicate,
    Malformed,
    Unmapped,
    Missing,
    TooLong,
}

impl Kind {
    /// The stable name, as shown and written to histories.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Newer => "newer",
            Self::Corrected => "corrected",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::Unmapped => "unmapped",
            Self::Missing => "missing",
            Self::TooLong => "too_long",
        }
    }
}

/// What must come of a message, as far as the message alone tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// It reaches asset management, unless a newer one takes its place; billing is told, unless a
    /// correction answers for it.
    Delivered,
    /// It is parked under this code, and billing is told so, unless it was corrected before.
    Parked(FailureCode),
    /// It is parked under this code; billing is told if the sync request id could be found.
    ParkedPerhapsTold(FailureCode),
    /// It is parked under this code; there is nobody to tell.
    ParkedUntold(FailureCode),
    /// Nothing new: it is an identical resend. What was told may be told again.
    Nothing,
}

/// Which properties a message has. Real senders differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// All of them.
    Full,
    /// A message id, no correlation id.
    MessageId,
    /// None at all.
    Bare,
}

/// A message of the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Its place in the sequence, from 0.
    pub place: u64,
    /// What kind of message.
    pub kind: Kind,
    /// Billing's id of the sync request.
    pub sync_request: String,
    /// Billing's id of the service point.
    pub service_point: String,
    /// How new its content is among those of the service point, from 1.
    pub revision: u32,
    /// What must come of it.
    pub expectation: Expectation,
    /// Which properties it has.
    pub style: Style,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Planned {
    /// What the reply to it carries as `correlation_id`.
    pub fn correlation(&self) -> String {
        match self.style {
            Style::Full => format!("ccb-{}-{}", self.sync_request, self.revision),
            Style::MessageId => self.message_id(),
            Style::Bare => self.sync_request.clone(),
        }
    }

    /// Its message id, if its style has one: the same on every resend of the same content.
    pub fn message_id(&self) -> String {
        format!("m-{}-{}", self.sync_request, self.revision)
    }
}

/// The sequence.
#[derive(Debug)]
pub struct Plan {
    generator: Generator,
    mix: Mix,
    random: Random,
    number: u64,
    place: u64,
    service_points: u64,
    sync_requests: u64,
    recent: VecDeque<Recent>,
}

/// A service point sent lately.
#[derive(Debug)]
struct Recent {
    revision: u32,
    requests: VecDeque<Draft>,
}

impl Plan {
    /// The plan of so many messages.
    pub fn new(seed: u64, number: u64, mix: Mix) -> Self {
        Self {
            generator: Generator { seed, items: mix.items, encodings: mix.encodings },
            mix,
            random: Random::of(&[seed, draw::SEQUENCE]),
            number,
            place: 0,
            service_points: 0,
            sync_requests: 0,
            recent: VecDeque::new(),
        }
    }

    fn draw(&mut self) -> (Kind, Draft) {
        let mix = self.mix;
        let mut left = self.random.fraction();
        let mut falls_to = |share: f64| {
            left -= share;
            left < 0.0
        };
        if falls_to(mix.malformed) {
            let fault = Fault::malformed(&mut self.random);
            (Kind::Malformed, self.first(Some(fault)))
        } else if falls_to(mix.unmapped) {
            (Kind::Unmapped, self.first_swapped(Swapped::Unmapped))
        } else if falls_to(mix.missing) {
            (Kind::Missing, self.first_swapped(Swapped::Missing))
        } else if falls_to(mix.too_long) {
            (Kind::TooLong, self.first_swapped(Swapped::TooLong))
        } else if self.recent.is_empty() {
            (Kind::Good, self.first(None))
        } else if falls_to(mix.duplicate) {
            (Kind::Duplicate, self.duplicate())
        } else if falls_to(mix.corrected) {
            (Kind::Corrected, self.corrected())
        } else if falls_to(mix.newer) {
            (Kind::Newer, self.newer())
        } else {
            (Kind::Good, self.first(None))
        }
    }

    fn first_swapped(&mut self, kind: Swapped) -> Draft {
        let fault = Fault::swapped(kind, &mut self.random);
        self.first(Some(fault))
    }

    /// The first request of a service point.
    fn first(&mut self, fault: Option<Fault>) -> Draft {
        let (service_point, sync_request) = (self.service_points, self.sync_requests);
        self.service_points += 1;
        self.sync_requests += 1;
        let draft = Draft { service_point, sync_request, revision: 1, fault };
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { revision: 1, requests: VecDeque::from([draft]) });
        draft
    }

    fn duplicate(&mut self) -> Draft {
        let recent = &self.recent[self.random.index(self.recent.len())];
        recent.requests[self.random.index(recent.requests.len())]
    }

    fn newer(&mut self) -> Draft {
        let at = self.random.index(self.recent.len());
        let sync_request = self.sync_requests;
        self.sync_requests += 1;
        self.recent[at].again(sync_request)
    }

    fn corrected(&mut self) -> Draft {
        let broken = |recent: &Recent| recent.requests.back().is_some_and(|it| it.fault.is_some());
        let wanted = self.random.happens(0.5);
        let broken = self.recent.iter().rposition(broken).filter(|_| wanted);
        let at = broken.unwrap_or_else(|| self.random.index(self.recent.len()));
        let recent = &mut self.recent[at];
        let sync_request = recent.requests.back().map_or(0, |request| request.sync_request);
        recent.again(sync_request)
    }

    fn style(&self, draft: &Draft) -> Style {
        let mut random = Random::of(&[self.generator.seed, draw::STYLE, draft.sync_request]);
        match random.happens(self.mix.bare) {
            true => Style::Bare,
            false if random.happens(0.2) => Style::MessageId,
            false => Style::Full,
        }
    }
}

impl Iterator for Plan {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        if self.place == self.number {
            return None;
        }
        let (kind, draft) = self.draw();
        let place = self.place;
        self.place += 1;
        Some(Planned {
            place,
            kind,
            sync_request: self.generator.sync_request_id(draft.sync_request),
            service_point: self.generator.service_point_id(draft.service_point),
            revision: draft.revision,
            expectation: expectation(kind, draft.fault),
            style: self.style(&draft),
            payload: self.generator.payload(&draft),
        })
    }
}

impl Recent {
    /// The next good request of the service point.
    fn again(&mut self, sync_request: u64) -> Draft {
        self.revision += 1;
        let service_point = self.requests.back().map_or(0, |request| request.service_point);
        let draft = Draft { service_point, sync_request, revision: self.revision, fault: None };
        if self.requests.len() == RECENT_REQUESTS_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(draft);
        draft
    }
}

fn expectation(kind: Kind, fault: Option<Fault>) -> Expectation {
    if kind == Kind::Duplicate {
        return Expectation::Nothing;
    }
    match fault {
        None => Expectation::Delivered,
        Some(fault @ Fault::Swapped { .. }) => Expectation::Parked(fault.code()),
        Some(Fault::Malformed(malformed)) if malformed.names_its_sync_request() => {
            Expectation::ParkedPerhapsTold(malformed.code())
        }
        Some(Fault::Malformed(malformed)) => Expectation::ParkedUntold(Malformed::code(malformed)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::domain::Digest;

    /// Much of everything.
    const ROUGH: Mix = Mix {
        malformed: 0.1,
        unmapped: 0.05,
        missing: 0.05,
        too_long: 0.05,
        duplicate: 0.1,
        corrected: 0.1,
        newer: 0.2,
        items: 0.2,
        encodings: 0.1,
        bare: 0.1,
    };

    fn plan(seed: u64, number: u64) -> Vec<Planned> {
        Plan::new(seed, number, ROUGH).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_on_every_machine() {
        let bytes: Vec<u8> = plan(7, 500).into_iter().flat_map(|planned| planned.payload).collect();
        let expected = "5d1a7f8efd24cb5dd4baa3e9014d5cc2fef6135609da4bf34cc986c0ac0a1ac6";
        assert_eq!(Digest::of(&bytes).to_string(), expected);
        assert_ne!(plan(7, 50), plan(8, 50));
    }

    #[test]
    fn a_longer_plan_begins_as_the_shorter_one() {
        assert_eq!(plan(7, 50), plan(7, 500)[..50]);
    }

    #[test]
    fn the_revision_of_a_service_point_grows_with_every_new_content() {
        let mut last: HashMap<String, u32> = HashMap::new();
        for planned in plan(3, 2_000).iter().filter(|planned| planned.kind != Kind::Duplicate) {
            let before = last.insert(planned.service_point.clone(), planned.revision).unwrap_or(0);
            assert_eq!(planned.revision, before + 1, "{planned:?}");
        }
        assert!(last.values().any(|revision| *revision > 3));
    }

    #[test]
    fn a_duplicate_repeats_bytes_and_a_correction_does_not() {
        let mut seen: HashMap<String, HashSet<Vec<u8>>> = HashMap::new();
        for planned in plan(5, 2_000) {
            let bytes = seen.entry(planned.sync_request.clone()).or_default();
            let known = !bytes.is_empty();
            let repeated = !bytes.insert(planned.payload);
            match planned.kind {
                Kind::Duplicate => assert!(repeated),
                Kind::Corrected => assert!(known && !repeated),
                _ => assert!(!known),
            }
        }
    }

    #[test]
    fn the_mix_is_kept() {
        let mut counts: HashMap<Kind, u32> = HashMap::new();
        for planned in plan(1, 5_000) {
            *counts.entry(planned.kind).or_default() += 1;
        }
        for (kind, expected) in [(Kind::Malformed, 500), (Kind::Newer, 1_000), (Kind::Good, 1_750)]
        {
            assert!(counts[&kind].abs_diff(expected) < expected / 8, "{kind:?}: {counts:?}");
        }
        assert_eq!(counts.len(), 8);
    }

    #[test]
    fn a_request_has_the_size_of_a_real_one() {
        let good = Plan::new(2, 500, Mix::GOOD);
        assert!(good.map(|it| it.payload.len()).all(|size| (1_300..2_500).contains(&size)));
    }
}
