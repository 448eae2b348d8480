//! The judge of a run: pure, and from outside. What it holds against the bridge is the contract
//! (`docs/lifecycle.md`), not its code.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::books::{self, Story, WentOn};
use super::counts::{Figures, check_counts, check_errors};
use super::evidence::{Assets, Billing, Doubts, Evidence, Location};

/// What must hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Rule {
    /// What the broker confirmed to billing is in the store.
    Lost,
    /// Nothing is in the store or on the wire that follows from nothing billing sent.
    Invented,
    /// Every request is at an end, parked or overdue, and for a reason.
    End,
    /// Billing gets the replies that follow from the end, no other, and none is missing.
    Replies,
    /// What is on the wire says what the request says.
    Content,
    /// One message id, one body.
    TwoBodies,
    /// No service point goes backwards.
    Backwards,
    /// Twice on the wire is only what a kill left in doubt, or what billing asked for twice.
    Doubled,
    /// The error queue lists exactly what has a reason to be there.
    Errors,
    /// All count the same.
    Counts,
    /// What either system itself found wrong.
    Violation,
}

impl Rule {
    pub(super) const ALL: [Self; 11] = [
        Self::Lost,
        Self::Invented,
        Self::End,
        Self::Replies,
        Self::Content,
        Self::TwoBodies,
        Self::Backwards,
        Self::Doubled,
        Self::Errors,
        Self::Counts,
        Self::Violation,
    ];

    /// Its name in figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Invented => "invented",
            Self::End => "end",
            Self::Replies => "replies",
            Self::Content => "content",
            Self::TwoBodies => "two bodies",
            Self::Backwards => "backwards",
            Self::Doubled => "doubled",
            Self::Errors => "errors",
            Self::Counts => "counts",
            Self::Violation => "violation",
        }
    }
}

/// A breach of a rule.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) rule: Rule,
    what: String,
}

impl Fault {
    pub(super) fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

/// The first few faults of each rule.
pub(super) fn shown(faults: &[Fault]) -> String {
    let mut by_rule: BTreeMap<Rule, Vec<&str>> = BTreeMap::new();
    for fault in faults {
        by_rule.entry(fault.rule).or_default().push(&fault.what);
    }
    let group = |(rule, what): (Rule, Vec<&str>)| {
        let few = what[..what.len().min(5)].join("\n    ");
        format!("{rule:?}: {}\n    {few}\n", what.len())
    };
    by_rule.into_iter().map(group).collect()
}

/// Compares everything with everything.
pub(super) fn check(evidence: &Evidence) -> (Figures, Vec<Fault>) {
    let mut faults = Vec::new();
    let stories = books::write(evidence, &mut faults);
    check_bodies(evidence, &mut faults);
    check_order(evidence, &mut faults);
    let ambiguous = ambiguous(&stories, evidence.doubts.bridge > 0);
    let newer = Newer::of(&stories);
    for story in &stories {
        let is_ambiguous = story.row.sync_request.as_ref().is_some_and(|id| ambiguous.contains(id));
        check_end(story, is_ambiguous, &newer, &mut faults);
        check_content(story, &mut faults);
    }
    check_repeats(evidence, &stories, &mut faults);
    let mut figures = Figures::of(evidence, &stories);
    figures.add("requests that share an answer by body only", ambiguous.len() as u64);
    check_errors(evidence, &stories, &ambiguous, &mut faults);
    check_counts(evidence, &stories, &figures, &mut faults);
    for tally in &evidence.tallies {
        let violation = |it| Fault::new(Rule::Violation, format!("{it}"));
        faults.extend(tally.violations.iter().map(violation));
    }
    (figures, faults)
}

fn check_bodies(evidence: &Evidence, faults: &mut Vec<Fault>) {
    let replies = evidence.billing.iter().filter_map(|event| match event {
        Billing::Reply(reply) => Some((&reply.message, &reply.digest)),
        Billing::Sending(_) | Billing::Sent { .. } | Billing::Unknown {} => None,
    });
    let locations = locations(&evidence.assets).map(|it| (&it.message, &it.digest));
    let mut bodies = HashMap::new();
    for (message, digest) in replies.chain(locations) {
        let first = *bodies.entry(message).or_insert(digest);
        if first != digest {
            let what = format!("message {message}: {first} and {digest}");
            faults.push(Fault::new(Rule::TwoBodies, what));
        }
    }
}

fn locations(assets: &[Assets]) -> impl Iterator<Item = &Location> {
    assets.iter().filter_map(|event| match event {
        Assets::Location(location) => Some(location),
        Assets::Answered { .. } => None,
    })
}

/// Stricter than the contract, which lets a repeat of something old come late: it must not either.
/// A repeat counts as well, but for those that the broker made itself: what it had given asset
/// management when that lost its connections comes again, in its old order.
fn check_order(evidence: &Evidence, faults: &mut Vec<Fault>) {
    let (mut newest, mut repeats) = (HashMap::new(), Vec::new());
    for location in locations(&evidence.assets) {
        let before = newest.entry(&location.service_point).or_insert(0);
        if location.revision < *before {
            let fault = Fault::new(Rule::Backwards, format!("{location:?} after {before}"));
            let is_first = location.answer.is_some();
            if is_first { faults.push(fault) } else { repeats.push(fault) }
        }
        let refuses = ["negative", "negative_then_positive"];
        if location.answer.as_deref().is_some_and(|answer| !refuses.contains(&answer)) {
            *before = location.revision.max(*before);
        }
    }
    let Doubts { assets, prefetch, .. } = evidence.doubts;
    if repeats.len() as u64 > assets * prefetch {
        faults.append(&mut repeats);
    }
}

/// Sync requests of which several contents were handed over, or may have been, and one was answered
/// without a correlation id: by contract the answer belongs to the newest, whichever it was meant
/// for.
fn ambiguous(stories: &[Story<'_>], may_be_in_doubt: bool) -> HashSet<String> {
    let mut handed: HashMap<&str, (u32, bool)> = HashMap::new();
    for story in stories {
        let is_handed = !story.locations.is_empty();
        if (is_handed || may_be_in_doubt && story.is_settled_unseen())
            && let Some(id) = &story.row.sync_request
        {
            let (count, by_body) = handed.entry(id).or_default();
            *count += 1;
            *by_body |= story.answer() == Some("by_body_only");
        }
    }
    let several = handed.into_iter().filter(|(_, (count, by_body))| *count > 1 && *by_body);
    several.map(|(id, _)| id.to_owned()).collect()
}

/// Who may take whose place.
struct Newer<'a>(HashMap<&'a str, (usize, &'a Story<'a>)>);

impl<'a> Newer<'a> {
    fn of(stories: &'a [Story<'a>]) -> Self {
        Self(stories.iter().enumerate().map(|(at, it)| (&*it.row.id, (at, it))).collect())
    }

    /// Whether the one by which a request was superseded is its correction, or newer.
    fn suits(&self, story: &Story<'_>) -> bool {
        let own = self.0.get(&*story.row.id);
        let by = story.row.superseded_by.as_deref().and_then(|id| self.0.get(id));
        let (Some((own_at, _)), Some((by_at, by))) = (own, by) else { return false };
        let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        let corrects = same(&story.row.sync_request, &by.row.sync_request) && by_at > own_at;
        let follows = same(&story.row.service_point, &by.row.service_point)
            && by.content.first.revision > story.content.first.revision;
        corrects || follows
    }
}

/// Whether the end of a request follows from its story, and what billing heard from its end.
fn check_end(story: &Story<'_>, is_ambiguous: bool, newer: &Newer<'_>, faults: &mut Vec<Fault>) {
    let is_broken = story.content.first.code.is_some();
    let state = story.row.state.as_str();
    // What was mended must end as if it had never been broken, only that billing heard of it.
    let is_bad = is_broken && story.went_on != Some(WentOn::Mended);
    let full: &[&[&str]] = match (state, is_bad, story.answer()) {
        ("parked", true, None) => &[&["parked"]],
        ("superseded", _, _) if !newer.suits(story) => &[],
        ("superseded", true, None) => &[&["parked", "superseded"]],
        // Handed over and superseded: a kill left the first in doubt, or it was overdue.
        ("superseded", false, _) => &[&["superseded"]],
        ("applied", false, Some(_)) if is_ambiguous => &[&["applied"], &["rejected", "applied"]],
        ("rejected", false, Some(_)) if is_ambiguous => &[&["rejected"]],
        ("overdue", false, Some(_)) if is_ambiguous => &[&[]],
        // It was in doubt when an answer came that named none of several, and never went out again.
        ("applied", false, None) if is_ambiguous => &[&["applied"]],
        ("rejected", false, None) if is_ambiguous => &[&["rejected"]],
        ("applied", false, Some("negative_then_positive")) => &[&["rejected", "applied"]],
        ("applied", false, Some("negative" | "silent" | "malformed")) => &[],
        ("applied", false, Some(_)) => &[&["applied"]],
        ("rejected", false, Some("negative")) => &[&["rejected"]],
        ("overdue", false, Some("silent" | "malformed")) => &[&[]],
        // Asset management never had it, and the bridge could not know.
        ("overdue", false, None) if story.is_destroyed => &[&[]],
        _ => &[],
    };
    if full.is_empty() {
        let why = (is_broken, story.answer(), &story.row);
        faults.push(Fault::new(Rule::End, format!("broken, answer, request: {why:?}")));
        return;
    }
    let heard = story.outcomes();
    // After its correction came, a request goes on in silence; but what is parked at its birth is
    // told at once.
    let heard_at_birth = usize::from(is_broken);
    let first = vec!["parked"; parkings(story)];
    let suits = |rest: &&[&str]| {
        let full = [&first, *rest].concat();
        let is_begun = heard.len() >= heard_at_birth && full.starts_with(&heard);
        if story.is_corrected { is_begun } else { full == heard }
    };
    let is_nameless = story.row.sync_request.is_none();
    let is_good = if is_nameless { heard.is_empty() } else { full.iter().any(suits) };
    let last = story.replies.last().copied().flatten().map(|reply| &reply.sign);
    if !is_good || last != story.row.told.as_ref() {
        let what = format!("heard {heard:?}, corrected {}, {:?}", story.is_corrected, story.row);
        faults.push(Fault::new(Rule::Replies, what));
    }
}

/// How often billing must have heard that a request was parked before it went on. What an outage
/// parked, a resend brings back, and the outage parks it again.
fn parkings(story: &Story<'_>) -> usize {
    let resends = usize::try_from(story.row.resends).unwrap_or(usize::MAX);
    match story.went_on {
        Some(WentOn::Mended) => 1,
        Some(WentOn::Released) => story.parkings().clamp(1, resends.saturating_add(1)),
        None => 0,
    }
}

/// Whether what is on the wire is about what was sent.
fn check_content(story: &Story<'_>, faults: &mut Vec<Fault>) {
    let sent = story.content.first;
    let about = (&sent.sync_request, &sent.service_point, sent.revision);
    for it in &story.locations {
        if (&it.sync_request, &it.service_point, it.revision) != about {
            faults.push(Fault::new(Rule::Content, format!("{it:?} of {sent:?}")));
        }
    }
    // The request's own correlation id, else its message id, else the sync request id.
    let (id, revision) = (&sent.sync_request, sent.revision);
    let correlations =
        [format!("ccb-{id}-{revision}"), format!("m-{id}-{revision}"), id.to_owned()];
    for it in story.replies.iter().flatten() {
        let is_known = correlations.contains(&it.correlation);
        let says = matches!(it.outcome.as_str(), "applied" | "superseded");
        let is_signed = it.sign == if says { "positive" } else { "negative" };
        if !is_known || !is_signed || &it.sync_request != id {
            faults.push(Fault::new(Rule::Content, format!("{it:?} of {sent:?}")));
        }
    }
}

/// A window of each lane is in doubt whenever the bridge is interrupted, and what the broker had
/// given a system whenever that is. Beyond that billing hears again, and asset
/// management gets again, only what billing asked for again.
fn check_repeats(evidence: &Evidence, stories: &[Story<'_>], faults: &mut Vec<Fault>) {
    let mut of_sync_request: HashMap<&str, (u64, u64)> = HashMap::new();
    let mut excess = 0;
    for story in stories {
        let repeats = (story.locations.len() as u64).saturating_sub(1);
        excess += repeats.saturating_sub(story.row.resends);
        let id = story.row.sync_request.as_deref().unwrap_or_default();
        let (repeats, asked) = of_sync_request.entry(id).or_default();
        *repeats += story.reply_repeats;
        *asked += story.row.resends;
    }
    let replies = of_sync_request.values().map(|(repeats, asked)| repeats.saturating_sub(*asked));
    let Doubts { bridge, billing, assets, window, prefetch } = evidence.doubts;
    let locations_max = bridge * window + assets * prefetch;
    let replies_max = bridge * window + billing * prefetch;
    let replies = replies.sum();
    let kinds = [("asset locations", excess, locations_max), ("replies", replies, replies_max)];
    for (what, excess, bound) in kinds {
        if excess > bound {
            let what = format!("{excess} {what} came again, expected at most {bound}");
            faults.push(Fault::new(Rule::Doubled, what));
        }
    }
}
