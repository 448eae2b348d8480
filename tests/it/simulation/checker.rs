//! The judge of a simulation: pure. What it holds is `docs/lifecycle.md`, from outside; what can be
//! asked of the store alone is asked after every operation, by the invariants of its tests.

use std::collections::{HashMap, HashSet};

use tieline::bridge::{Lane, What};
use tieline::domain::{AnswerId, Digest, MessageId, RequestId, Verdict};

use super::history::{Ending, Event, Row, SentAnswer};
use super::script::Fate;
use super::seen::Seen;

/// What must hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Rule {
    /// The invariants of the store.
    Invariant,
    /// What billing's broker has confirmed is in the store.
    Lost,
    /// Nothing is in the store or on the wire that follows from nothing sent.
    Invented,
    /// One message id, one body.
    TwoBodies,
    /// What is sent is pending and of today's edition.
    Edition,
    /// What is sent is not older than what asset management has; the last word is the last.
    Backwards,
    /// What the store believes to be handed over was taken.
    HandedOver,
    /// The end follows from the answers.
    End,
    /// An answer to an older edition refuses nothing.
    Outdated,
    /// Billing hears each reply, and hears it again only for a reason.
    Replies,
    /// Each request that was handed over counts once, as itself or as a resend.
    Counts,
    /// Nothing is left waiting when nothing hinders it.
    Stuck,
}

/// A breach of a rule.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) rule: Rule,
    pub(super) what: String,
}

struct Judge<'a> {
    seen: &'a Seen,
    faults: Vec<Fault>,
    answers: HashMap<AnswerId, &'a SentAnswer>,
}

/// Everything that is wrong.
pub(super) fn check(seen: &Seen) -> Vec<Fault> {
    let answers = seen.events.iter().filter_map(|event| match event {
        Event::AnswerSent { answer } => Some((answer.id, answer)),
        _ => None,
    });
    let mut judge = Judge { seen, faults: Vec::new(), answers: answers.collect() };
    judge.on_the_way();
    if let Some(what) = &seen.ending.broken {
        // The run ended there.
        judge.fault(Rule::Invariant, what.clone());
        return judge.faults;
    }
    judge.requests();
    judge.counts();
    judge.bodies();
    judge.ends();
    judge.replies();
    judge.faults
}

impl Judge<'_> {
    fn fault(&mut self, rule: Rule, what: impl Into<String>) {
        self.faults.push(Fault { rule, what: what.into() });
    }

    fn ending(&self) -> &Ending {
        &self.seen.ending
    }

    /// What can be judged at the moment at which it happens.
    fn on_the_way(&mut self) {
        for event in &self.seen.events {
            match event {
                Event::Begun { lane: Lane::Location, window, rows } => self.window(window, rows),
                Event::Answered { batch, before, after } => self.answered(batch, before, after),
                _ => {}
            }
        }
    }

    fn window(&mut self, window: &[MessageId], rows: &[Row]) {
        for message in window {
            let Some(row) = rows.iter().find(|row| row.id == message.request()) else {
                self.fault(Rule::Invented, format!("{message} is of no request"));
                continue;
            };
            if row.state != "pending" || row.id.location(row.edition) != *message {
                self.fault(Rule::Edition, format!("{message} was sent, the request is {row:?}"));
            }
            let newer = rows.iter().find(|other| is_ahead(other, row));
            if let Some(newer) = newer {
                self.fault(Rule::Backwards, format!("{row:?} was sent, there is {newer:?}"));
            }
        }
    }

    fn answered(&mut self, batch: &[AnswerId], before: &[Row], after: &[Row]) {
        for (old, new) in before.iter().zip(after) {
            if old.state == new.state || new.state != "rejected" {
                continue;
            }
            let suits = |answer: &&SentAnswer| {
                answer.verdict == Verdict::Negative
                    && match answer.message {
                        Some(message) => message == old.id.location(old.edition),
                        None => old.sync_request.as_ref() == Some(&answer.sync_request),
                    }
            };
            let known = batch.iter().filter_map(|id| self.answers.get(id).copied());
            if !known.collect::<Vec<_>>().iter().any(suits) {
                self.fault(Rule::Outdated, format!("{old:?} is rejected by no answer to it"));
            }
        }
    }

    fn requests(&mut self) {
        let rows: HashSet<RequestId> = self.ending().rows.iter().map(|row| row.id).collect();
        let sent: HashSet<RequestId> = self.seen.events.iter().filter_map(sent).collect();
        for id in sent.difference(&rows) {
            self.fault(Rule::Lost, format!("request {id} is not in the store"));
        }
        for id in rows.difference(&sent) {
            self.fault(Rule::Invented, format!("request {id} was never sent"));
        }
        if rows.len() != self.ending().rows.len() {
            self.fault(Rule::Invented, "a request is in the store twice");
        }
        let known: Vec<_> = self.ending().answers.keys().copied().collect();
        let unknown = known.into_iter().filter(|id| !self.answers.contains_key(id)).count();
        let nonsense = self.ending().answers.values().filter(|waits| **waits).count();
        if unknown > nonsense {
            self.fault(Rule::Invented, format!("{unknown} answers were never given"));
        }
        for left in self.ending().left.clone() {
            self.fault(Rule::Stuck, left);
        }
    }

    fn counts(&mut self) {
        let (mut least, mut doubtful) = (0, 0);
        for event in &self.seen.events {
            match event {
                Event::Recorded { count } => least += count,
                Event::MayBeRecorded { count } => doubtful += count,
                _ => {}
            }
        }
        let rows = self.seen.ending.rows.iter();
        let counted: u32 = rows.map(|row| 1 + row.resends).sum();
        let counted = usize::try_from(counted).unwrap();
        if !(least..=least + doubtful).contains(&counted) {
            let what = format!("{counted} counted, expected {least} to {}", least + doubtful);
            self.fault(Rule::Counts, what);
        }
    }

    fn bodies(&mut self) {
        let mut bodies = HashMap::new();
        for event in &self.seen.events {
            let Event::Taken { message } = event else { continue };
            let digest = Digest::of(&message.payload);
            let first = *bodies.entry(message.message_id).or_insert(digest);
            if first != digest {
                self.fault(Rule::TwoBodies, message.message_id.to_string());
            }
        }
    }

    fn ends(&mut self) {
        let taken: HashSet<MessageId> = self.seen.events.iter().filter_map(taken).collect();
        for row in &self.seen.ending.rows {
            let of = |verdict| {
                self.answers.values().any(|answer| {
                    answer.verdict == verdict
                        && match answer.message {
                            Some(message) => message.request() == row.id,
                            None => row.sync_request.as_ref() == Some(&answer.sync_request),
                        }
                })
            };
            let (positive, negative) = (of(Verdict::Positive), of(Verdict::Negative));
            let was_taken =
                (1..=row.edition).any(|edition| taken.contains(&row.id.location(edition)));
            let wrong = match row.state {
                "waiting" | "pending" | "published" => Some(Rule::Stuck),
                "applied" if !positive => Some(Rule::End),
                "rejected" if !negative => Some(Rule::End),
                "applied" | "rejected" if !was_taken && !self.may_be_believed(row) => {
                    Some(Rule::HandedOver)
                }
                "overdue" if !was_taken && !self.vanished(row) => Some(Rule::HandedOver),
                "overdue" if row.resends == 0 && self.came_back(row) => Some(Rule::Lost),
                "superseded" if !self.is_superseded_rightly(row) => Some(Rule::End),
                "superseded" | "applied" => None,
                _ if self.was_answered_positively(row) => Some(Rule::End),
                _ => None,
            };
            if let Some(rule) = wrong {
                self.faults.push(Fault { rule, what: format!("{row:?}") });
            }
        }
    }

    /// Whether asset management's broker gave back what was sent last.
    fn came_back(&self, row: &Row) -> bool {
        let last = row.id.location(row.edition);
        let came_back =
            |event: &Event| matches!(event, Event::CameBack { message } if *message == last);
        self.seen.events.iter().any(came_back)
    }

    /// Whether the confirm of a location that nobody has can have come from the wire.
    fn vanished(&self, row: &Row) -> bool {
        self.seen.events.iter().any(|event| {
            matches!(event, Event::Handed { message, fate: Fate::Confirmed, .. }
                if message.request() == row.id)
        })
    }

    /// An answer that names the sync request alone is believed as soon as the location may have
    /// been handed over, also if it was meant for nobody: after an attempt, and after a restart,
    /// because a process does not know what the one before had on its way.
    fn may_be_believed(&self, row: &Row) -> bool {
        let names = |answer: &SentAnswer| {
            answer.message.is_none() && row.sync_request.as_ref() == Some(&answer.sync_request)
        };
        let in_doubt = |event: &Event| match event {
            Event::Died => true,
            Event::Handed { message, .. } => message.request() == row.id,
            _ => false,
        };
        self.seen.events.iter().any(in_doubt) && self.answers.values().any(|it| names(it))
    }

    fn is_superseded_rightly(&self, row: &Row) -> bool {
        let by = self.seen.ending.rows.iter().find(|other| Some(other.id) == row.superseded_by);
        by.is_some_and(|by| is_newer(by, row))
    }

    /// A positive answer that names a request by its message and was recorded counts.
    fn was_answered_positively(&self, row: &Row) -> bool {
        self.answers.values().any(|answer| {
            let names = answer.message.is_some_and(|message| message.request() == row.id);
            let settled = self.seen.ending.answers.get(&answer.id) == Some(&false);
            names && settled && answer.verdict == Verdict::Positive
        })
    }

    fn replies(&mut self) {
        let mut taken: HashMap<MessageId, usize> = HashMap::new();
        let mut excuses: HashMap<MessageId, usize> = HashMap::new();
        let mut general = 0;
        let mut last: HashMap<&str, i64> = HashMap::new();
        let rows: HashMap<i64, &Row> =
            self.seen.ending.rows.iter().map(|row| (row.seq, row)).collect();
        let replies: HashMap<_, _> =
            self.seen.ending.replies.iter().map(|reply| (reply.message, reply)).collect();
        for event in &self.seen.events {
            match event {
                Event::Taken { message } if matches!(message.what, What::Reply { .. }) => {
                    *taken.entry(message.message_id).or_default() += 1;
                    if !replies.contains_key(&message.message_id) {
                        self.faults.push(Fault {
                            rule: Rule::Invented,
                            what: format!("reply {}", message.message_id),
                        });
                    }
                }
                Event::Handed { lane: Lane::Reply, message, fate } => {
                    if *fate != Fate::Confirmed {
                        *excuses.entry(*message).or_default() += 1;
                    }
                    let Some(reply) = replies.get(message) else { continue };
                    let sync = rows.get(&reply.request).and_then(|row| row.sync_request.as_deref());
                    let newest = last.entry(sync.unwrap_or_default()).or_insert(reply.seq);
                    if *newest > reply.seq {
                        let what = format!("{reply:?} was sent after reply {newest}");
                        self.faults.push(Fault { rule: Rule::Backwards, what });
                    }
                    *newest = reply.seq.max(*newest);
                }
                Event::CameBack { message } => *excuses.entry(*message).or_default() += 1,
                Event::Died | Event::Ordered => general += 1,
                _ => {}
            }
        }
        for reply in &self.seen.ending.replies {
            let heard = taken.get(&reply.message).copied().unwrap_or_default();
            let asked = rows.get(&reply.request).map_or(0, |row| self.asked(row));
            let forgiven = excuses.get(&reply.message).copied().unwrap_or_default() + general;
            if reply.is_delivered && heard == 0 {
                self.faults.push(Fault { rule: Rule::Replies, what: format!("lost: {reply:?}") });
            }
            if heard > 1 + forgiven + asked {
                let what = format!("heard {heard} times: {reply:?}");
                self.faults.push(Fault { rule: Rule::Replies, what });
            }
        }
    }

    /// How often billing sent again what a sync request said.
    fn asked(&self, row: &Row) -> usize {
        let same =
            |other: &&Row| row.sync_request.is_some() && other.sync_request == row.sync_request;
        let resends = self.seen.ending.rows.iter().filter(same).map(|other| other.resends);
        usize::try_from(resends.sum::<u32>()).unwrap()
    }
}

fn sent(event: &Event) -> Option<RequestId> {
    match event {
        Event::Sent { id } => Some(*id),
        _ => None,
    }
}

fn taken(event: &Event) -> Option<MessageId> {
    match event {
        Event::Taken { message } => Some(message.message_id),
        _ => None,
    }
}

/// Whether a request is newer than another one, of the same service point or sync request.
fn is_newer(one: &Row, other: &Row) -> bool {
    if one.sync_request.is_some() && one.sync_request == other.sync_request {
        return one.seq > other.seq;
    }
    one.service_point.is_some()
        && one.service_point == other.service_point
        && (other.revision.is_older_than(&one.revision)
            || (!one.revision.is_older_than(&other.revision) && one.seq > other.seq))
}

/// Whether asset management has, or may have, something newer.
fn is_ahead(other: &Row, row: &Row) -> bool {
    matches!(other.state, "published" | "overdue" | "applied") && is_newer(other, row)
}
