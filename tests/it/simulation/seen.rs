//! What a script came to: for the checker, for the comparison of two runs, and for the question what
//! seeds reach at all.

use std::collections::HashSet;

use tieline::bridge::Lane;
use tieline::domain::Digest;

use super::history::{Ending, Event};

/// What was seen of a script.
pub(super) struct Seen {
    pub(super) events: Vec<Event>,
    pub(super) ending: Ending,
}

/// What seeds must reach.
pub(super) const REACHABLE: [&str; 13] = [
    "applied",
    "rejected",
    "parked",
    "overdue",
    "superseded",
    "discarded",
    "a second edition",
    "a second edition on its way",
    "died before or after a commit",
    "told parked",
    "told superseded",
    "came back",
    "an answer on the error queue",
];

impl Seen {
    /// Which of the reachable things happened.
    pub(super) fn reaches(&self) -> HashSet<&'static str> {
        let Ending { rows, replies, answers, .. } = &self.ending;
        let mut reached: HashSet<_> = rows.iter().map(|row| row.state).collect();
        let mut reach = |what, is_so: bool| reached.extend(is_so.then_some(what));
        reach("a second edition", rows.iter().any(|row| row.edition > 1));
        for (told, outcome) in [("told parked", "parked"), ("told superseded", "superseded")] {
            reach(told, replies.iter().any(|reply| reply.outcome == outcome));
        }
        reach("an answer on the error queue", answers.values().any(|waits| *waits));
        for event in &self.events {
            match event {
                Event::Begun { window, lane: Lane::Location, .. } => {
                    let again = window.iter().any(|message| message.edition() > 1);
                    reach("a second edition on its way", again);
                }
                Event::Died => reach("died before or after a commit", true),
                Event::CameBack { .. } => reach("came back", true),
                _ => {}
            }
        }
        reached
    }

    pub(super) fn digest(&self) -> Digest {
        let Ending { rows, replies, answer_rows, left, broken, .. } = &self.ending;
        let all = (&self.events, rows, replies, answer_rows, left, broken);
        Digest::of(format!("{all:?}").as_bytes())
    }
}
