//! Which steps of a mapping have anything to say of a message, found from the message's side: there
//! may be hundreds of rules, of which a message has values for forty.
//!
//! Only what surely neither writes nor finds a defect is passed over. All else is decided by
//! [`super::translate`].

use std::collections::HashMap;

use super::reading::{Reading, trimmed};
use super::rule::{Condition, Given, Holds, Rule};
use super::source::{NodeId, Source};
use super::target::{Block, Step};

/// What wakes the steps of a block.
#[derive(Debug)]
pub(super) struct Alarm {
    /// The steps that are awake whatever the message holds.
    always: Steps,
    /// What the elements at each place of the tree wake.
    places: Vec<Calls>,
}

#[derive(Clone, Default, Debug)]
struct Calls {
    /// By being there.
    present: Steps,
    /// By their value.
    values: HashMap<Box<str>, Steps>,
}

/// Steps of one block, a bit for each.
#[derive(Clone, Default, Debug)]
pub(super) struct Steps {
    words: Vec<u64>,
}

/// What a message must have, or a rule says nothing.
enum Need<'m> {
    Present(NodeId),
    Value(NodeId, &'m str),
}

impl Alarm {
    pub(super) fn new(block: &Block) -> Self {
        let mut alarm = Self { always: Steps::default(), places: Vec::new() };
        // The root is written whatever stands in it.
        alarm.always.insert(0);
        alarm.always.insert(block.steps.len() - 1);
        let mut open = Vec::new();
        for (at, step) in block.steps.iter().enumerate() {
            let needs = match step {
                Step::Open(_) => {
                    open.push(at);
                    continue;
                }
                Step::Close => {
                    open.pop();
                    continue;
                }
                Step::Leaf { rules, .. } => {
                    let needs = rules.iter().map(|rule| needs_of(&block.rules[*rule]));
                    needs.collect::<Option<Vec<_>>>().map(|needs| needs.into_iter().flatten())
                }
                Step::Each(group) => {
                    let need = Need::of(&block.groups[*group].source);
                    Some(vec![vec![need]].into_iter().flatten())
                }
            };
            let around = open.iter().flat_map(|open| [*open, closing(&block.steps, *open)]);
            let woken: Vec<usize> = around.chain([at]).collect();
            match needs {
                Some(needs) => needs.for_each(|need| alarm.steps(&need).extend(&woken)),
                None => alarm.always.extend(&woken),
            }
        }
        alarm
    }

    fn steps(&mut self, need: &Need<'_>) -> &mut Steps {
        let (Need::Present(node) | Need::Value(node, _)) = need;
        if self.places.len() <= node.index() {
            self.places.resize(node.index() + 1, Calls::default());
        }
        let calls = &mut self.places[node.index()];
        match need {
            Need::Present(_) => &mut calls.present,
            Need::Value(_, value) => calls.values.entry((*value).into()).or_default(),
        }
    }

    /// The steps that may have something to say of the message.
    pub(super) fn awake(&self, reading: &Reading<'_>) -> Steps {
        let mut awake = self.always.clone();
        for found in reading.all() {
            let Some(calls) = self.places.get(reading.node(found).index()) else { continue };
            awake.add(&calls.present);
            if !calls.values.is_empty()
                && let Some(steps) = calls.values.get(trimmed(reading.text(found)))
            {
                awake.add(steps);
            }
        }
        awake
    }
}

/// Where the element that is opened at a step is closed.
fn closing(steps: &[Step], open: usize) -> usize {
    let mut depth = 0;
    let after = steps[open..].iter().position(|step| {
        match step {
            Step::Open(_) => depth += 1,
            Step::Close => depth -= 1,
            Step::Leaf { .. } | Step::Each(_) => {}
        }
        depth == 0
    });
    open + after.unwrap_or_default()
}

/// Of which any is enough; none for a rule that may say something of any message.
fn needs_of(rule: &Rule) -> Option<Vec<Need<'_>>> {
    // All conditions must hold, so that each is one to go by.
    if let Some(needs) = rule.when.iter().find_map(needs_of_condition) {
        return Some(needs);
    }
    if rule.default.is_some() || rule.required || rule.keep_empty {
        return None;
    }
    match &rule.given {
        Given::From(sources) | Given::Concat { sources, .. } => {
            Some(sources.iter().map(Need::of).collect())
        }
        Given::Const(_) => None,
    }
}

fn needs_of_condition(condition: &Condition) -> Option<Vec<Need<'_>>> {
    let node = condition.source.node;
    match &condition.holds {
        Holds::Is(words) => Some(words.iter().map(|word| Need::Value(node, word)).collect()),
        Holds::Present => Some(vec![Need::Present(node)]),
        Holds::Not(_) | Holds::Absent => None,
    }
}

impl<'m> Need<'m> {
    fn of(source: &'m Source) -> Self {
        match source.tests.last() {
            Some(choice) => Self::Value(choice.child, &choice.value),
            None => Self::Present(source.node),
        }
    }
}

impl Steps {
    fn insert(&mut self, at: usize) {
        if self.words.len() <= at / 64 {
            self.words.resize(at / 64 + 1, 0);
        }
        self.words[at / 64] |= 1 << (at % 64);
    }

    fn extend(&mut self, steps: &[usize]) {
        for at in steps {
            self.insert(*at);
        }
    }

    /// All sets of a block are within that of the steps that are always awake, because the last
    /// step is one of them.
    fn add(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// The steps in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(index * 64 + bit as usize)
            })
        })
    }
}
