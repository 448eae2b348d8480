//! The counts of both systems and of the store: what they are, and whether they agree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::books::{Story, WentOn};
use super::checker::{Fault, Rule};
use super::evidence::{Assets, Billing, Evidence};

/// Codes of answers on the error queue.
const UNREADABLE: &str = "TL4001";
const PROPERTIES: &str = "TL4006";
const CONTRADICTS: &str = "TL4002";
const ORPHANED: &str = "TL4003";

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(BTreeMap<String, u64>);

impl Figures {
    /// Counts what the stories tell.
    pub(super) fn of(evidence: &Evidence, stories: &[Story<'_>]) -> Self {
        let mut figures = Self::default();
        figures.add("asset locations destroyed on the broker", evidence.destroyed.len() as u64);
        for event in &evidence.billing {
            match event {
                Billing::Sent { .. } => figures.add("messages confirmed to billing", 1),
                Billing::Unknown {} => figures.add("messages in doubt at billing", 1),
                Billing::Sending(_) | Billing::Reply(_) => {}
            }
        }
        for event in &evidence.assets {
            if let Assets::Answered { says, .. } = event {
                figures.add(format!("answers: {says}"), 1);
            }
        }
        for story in stories {
            figures.add("requests", 1);
            figures.add(format!("requests: {}", story.row.state), 1);
            figures.add("identical resends and redeliveries", story.row.resends);
            figures.add("asset locations", u64::from(!story.locations.is_empty()));
            let repeats = (story.locations.len() as u64).saturating_sub(1);
            figures.add("asset locations again", repeats);
            figures.add("replies again", story.reply_repeats);
            for reply in story.replies.iter().flatten() {
                figures.add("replies", 1);
                figures.add(format!("replies: {}", reply.outcome), 1);
            }
            let is_unseen = story.is_settled_unseen();
            figures.add("settled by an answer to another, never seen", u64::from(is_unseen));
            let is_handed = story.row.state == "superseded" && !story.locations.is_empty();
            figures.add("handed over, then superseded", u64::from(is_handed));
        }
        for error in &evidence.errors {
            figures.add(format!("error records: {} of {}", error.code, error.about), 1);
        }
        figures
    }

    pub(super) fn add(&mut self, name: impl Into<String>, many: u64) {
        *self.0.entry(name.into()).or_default() += many;
    }

    pub(super) fn all(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, many)| writeln!(f, "  {name:<44}{many:>9}"))
    }
}

/// Whether the error queue lists exactly what is parked, and what was answered amiss.
pub(super) fn check_errors(
    evidence: &Evidence,
    stories: &[Story<'_>],
    ambiguous: &HashSet<String>,
    faults: &mut Vec<Fault>,
) {
    let mut listed: HashMap<(&str, &str), u64> = HashMap::new();
    for error in &evidence.errors {
        let request = error.request.as_deref().unwrap_or_default();
        let request =
            if [UNREADABLE, PROPERTIES, ORPHANED].contains(&&*error.code) { "" } else { request };
        *listed.entry((&error.code, request)).or_default() += 1;
    }
    let mut expected: HashMap<(&str, &str), u64> = HashMap::new();
    for story in stories {
        let is_open = story.row.sync_request.as_ref().is_some_and(|id| ambiguous.contains(id));
        if story.row.state == "parked" {
            let code = story.content.first.code.as_deref().unwrap_or("no code");
            expected.insert((code, &story.row.id), 1);
        } else if is_open {
            // An answer that named no request may have contradicted any of several.
            listed.remove(&(CONTRADICTS, &*story.row.id));
        } else if story.row.state == "applied" && story.answer() == Some("positive_then_negative") {
            expected.insert((CONTRADICTS, &story.row.id), 1);
        }
    }
    for event in &evidence.assets {
        match event {
            Assets::Answered { says, .. } if says == "nonsense" => {
                *expected.entry((UNREADABLE, "")).or_default() += 1;
            }
            Assets::Answered { says, .. } if says == "unreadable" => {
                *expected.entry((PROPERTIES, "")).or_default() += 1;
            }
            Assets::Answered { says, .. } if says == "orphan" => {
                *expected.entry((ORPHANED, "")).or_default() += 1;
            }
            Assets::Answered { .. } | Assets::Location(_) => {}
        }
    }
    let keys: HashSet<_> = listed.keys().chain(expected.keys()).collect();
    for key in keys {
        let (found, wanted) = (listed.get(key), expected.get(key));
        if found != wanted {
            let what = format!("{key:?}: found {found:?} open records, expected {wanted:?}");
            faults.push(Fault::new(Rule::Errors, what));
        }
    }
}

/// Whether all count the same.
pub(super) fn check_counts(
    evidence: &Evidence,
    stories: &[Story<'_>],
    figures: &Figures,
    faults: &mut Vec<Fault>,
) {
    let [billing, assets] = &evidence.tallies;
    let mut compare = |what: &str, found: u64, expected: u64| {
        if found != expected {
            let what = format!("{what}: {found}, expected {expected}");
            faults.push(Fault::new(Rule::Counts, what));
        }
    };
    let confirmed = figures.count("messages confirmed to billing");
    compare("confirmed to billing", billing.count("confirmed"), confirmed);
    let (replies, again) = (figures.count("replies"), figures.count("replies again"));
    compare("replies at billing", billing.count("replies"), replies + again);
    compare("repeats at billing", billing.count("replies_repeated"), again);
    for outcome in ["applied", "rejected", "parked", "superseded", "discarded"] {
        let expected = figures.count(&format!("replies: {outcome}"));
        compare(&format!("{outcome} at billing"), billing.count(outcome), expected);
    }
    let released = stories.iter().filter(|story| story.went_on == Some(WentOn::Released));
    let released = released.map(|story| story.parkings() as u64).sum();
    compare("good_parked", billing.count("good_parked"), released);
    let mended = stories.iter().filter(|story| story.went_on == Some(WentOn::Mended));
    let mended = mended.filter(|story| story.outcomes().contains(&"applied")).count() as u64;
    compare("broken_applied", billing.count("broken_applied"), mended);
    for Story { row, content, .. } in stories {
        // More are redeliveries.
        let least = content.confirmed.saturating_sub(1);
        compare(&format!("least resends of {}", row.id), least.min(row.resends), least);
    }
    compare("untold at billing", billing.count("sync_requests_untold"), untold(stories));
    let (new, again) = (figures.count("asset locations"), figures.count("asset locations again"));
    compare("asset locations at asset management", assets.count("locations_new"), new);
    compare("repeats at asset management", assets.count("locations_repeated"), again);
    compare("contents under two ids", assets.count("contents_repeated"), 0);
    let mut states: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (state, count) in &evidence.status.requests {
        states.entry(state).or_default().0 = *count;
    }
    for row in &evidence.requests {
        states.entry(&row.state).or_default().1 += 1;
    }
    for (state, (counted, listed)) in states {
        compare(&format!("{state} in the store"), counted, listed);
    }
    compare("outbox of the store", evidence.status.outbox.values().sum(), 0);
    let mut groups: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for group in &evidence.groups {
        groups.entry(&group.group).or_default().0 += group.count;
    }
    for error in &evidence.errors {
        groups.entry(&error.group).or_default().1 += 1;
    }
    for (group, (counted, listed)) in groups {
        compare(&format!("error group {group}"), counted, listed);
    }
}

/// How many sync requests billing must still hear of: those whose last content is overdue.
fn untold(stories: &[Story<'_>]) -> u64 {
    let mut by_sync_request: HashMap<&str, Vec<&Story<'_>>> = HashMap::new();
    for story in stories {
        if let Some(id) = &story.row.sync_request {
            by_sync_request.entry(id).or_default().push(story);
        }
    }
    let is_untold = |(id, stories): &(&str, Vec<&Story<'_>>)| {
        let last = stories.last().filter(|last| last.content.first.code.is_none());
        // Contents without properties share billing's id as their correlation id: a reply about one
        // is a reply about all.
        let replies = || stories.iter().flat_map(|story| story.replies.iter().flatten());
        last.is_some_and(|last| last.replies.is_empty())
            && !replies().any(|reply| reply.correlation == *id)
    };
    by_sync_request.into_iter().filter(is_untold).count() as u64
}
