//! Applies a mapping to what was read of a message: the asset location's bytes, or every defect.

use std::borrow::Cow;

use super::reading::{Found, Reading, trimmed};
use super::rule::{Condition, Given, Group, Holds, Misfit, Pick, Rule};
use super::source::{Source, Tree};
use super::target::{Block, Layout, Step};
use super::write::Writer;
use super::xml::Fault;
use crate::domain::{Defect, FailureCode};

/// A message as read.
#[derive(Clone, Copy)]
pub(super) struct Message<'r> {
    pub(super) text: &'r str,
    pub(super) tree: &'r Tree,
    pub(super) reading: &'r Reading<'r>,
}

/// What to do with a value that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// It is a defect.
    Strict,
    /// It goes as it is, cut to its length: something must be said in any case.
    Lenient,
}

/// A defect, before anybody wants to know its line.
#[derive(Debug)]
pub(super) struct Finding {
    /// The place of its rule in the mapping.
    pub(super) order: usize,
    pub(super) code: FailureCode,
    pub(super) rule: Option<String>,
    pub(super) path: Option<String>,
    pub(super) at: usize,
    pub(super) value: Option<String>,
    pub(super) expected: String,
}

impl Finding {
    /// Whether both tell the same of the same field.
    pub(super) fn is_about(&self, other: &Self) -> bool {
        self.code == other.code && self.at == other.at && self.path == other.path
    }
}

/// The result of applying a mapping.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) passes: u32,
    pub(super) findings: Vec<Finding>,
}

/// How many defects are told of one message.
pub(super) const DEFECTS_MAX: usize = 200;

/// How many characters of a value are shown.
const VALUE_MAX: usize = 80;

/// Writes what the layout says about the message.
pub(super) fn write<'r>(message: Message<'r>, layout: &'r Layout, manner: Manner) -> Written {
    let out = Writer::new(message.text.len() + 512);
    let mut run = Run { message, manner, passes: 0, findings: Vec::new(), out };
    let block = &layout.block;
    for at in layout.alarm.awake(message.reading).iter() {
        run.step(block, &block.steps[at], Found::ROOT);
    }
    run.findings.sort_by_key(|finding| finding.order);
    Written { bytes: run.out.into_bytes(), passes: run.passes, findings: run.findings }
}

struct Run<'r> {
    message: Message<'r>,
    manner: Manner,
    passes: u32,
    findings: Vec<Finding>,
    out: Writer<'r>,
}

/// What a rule gives.
enum Value<'r> {
    Nothing,
    /// Nothing, but the element is wanted all the same.
    Empty,
    Text(Cow<'r, str>),
}

/// A value as it stands in the message, and where; nowhere for a default.
struct Raw<'r> {
    text: Cow<'r, str>,
    from: Option<(&'r Source, Found)>,
}

impl<'r> Run<'r> {
    /// Nests as deep as `each` rules in the mapping, whatever the message holds.
    fn block(&mut self, block: &'r Block, within: Found) {
        for step in &block.steps {
            self.step(block, step, within);
        }
    }

    fn step(&mut self, block: &'r Block, step: &'r Step, within: Found) {
        match step {
            Step::Open(tag) => self.out.open(tag),
            Step::Close => self.out.close(),
            Step::Leaf { name, rules } => {
                let mut applying = rules.iter().map(|rule| &block.rules[*rule]);
                let rule = applying.find(|rule| self.message.holds(&rule.when, within));
                if let Some(rule) = rule {
                    self.leaf(name, rule, within);
                }
            }
            Step::Each(group) => self.each(&block.groups[*group], within),
        }
    }

    fn each(&mut self, group: &'r Group, within: Found) {
        let reading = self.message.reading;
        for found in reading.find(&group.source, within) {
            if self.message.holds(&group.when, found) {
                self.block(&group.block, found);
            }
        }
    }

    fn leaf(&mut self, name: &str, rule: &'r Rule, within: Found) {
        match self.value(rule, within) {
            Ok(Value::Nothing) => {}
            Ok(Value::Empty) => self.out.leaf(name, ""),
            Ok(Value::Text(text)) => self.out.leaf(name, &text),
            Err(finding) => {
                if self.findings.len() < DEFECTS_MAX {
                    self.findings.push(*finding);
                }
            }
        }
    }

    fn value(&mut self, rule: &'r Rule, within: Found) -> Result<Value<'r>, Box<Finding>> {
        let raw = match &rule.given {
            Given::Const(text) => return Ok(Value::Text(Cow::Borrowed(text))),
            Given::From(sources) => self.first_of(rule, sources, within)?,
            Given::Concat { sources, separator } => {
                self.all_of(rule, sources, separator, within)?
            }
        };
        let raw = match (raw, &rule.default) {
            (Some(raw), _) => raw,
            (None, Some(default)) => Raw { text: Cow::Borrowed(&**default), from: None },
            (None, None) if rule.required && self.manner == Manner::Strict => {
                return Err(Box::new(self.message.missing(rule, within)));
            }
            (None, None) if rule.keep_empty => return Ok(Value::Empty),
            (None, None) => return Ok(Value::Nothing),
        };
        match rule.finish.apply(raw.text.clone()) {
            Ok(finished) => {
                self.passes += u32::from(finished.passed);
                Ok(Value::Text(finished.value))
            }
            Err(_) if self.manner == Manner::Lenient => {
                let text = raw.text;
                let end = rule.finish.length.and_then(|length| length.cut(&text));
                Ok(Value::Text(Cow::Owned(text[..end.unwrap_or(text.len())].to_owned())))
            }
            Err(misfit) => Err(Box::new(self.message.misfit(rule, &raw, misfit))),
        }
    }

    fn first_of(
        &self,
        rule: &Rule,
        sources: &'r [Source],
        within: Found,
    ) -> Result<Option<Raw<'r>>, Box<Finding>> {
        for source in sources {
            let Some(found) = self.pick(rule, source, within)? else { continue };
            let text = rule.finish.trim.apply(self.message.reading.text(found));
            if !text.is_empty() {
                return Ok(Some(Raw { text: Cow::Borrowed(text), from: Some((source, found)) }));
            }
        }
        Ok(None)
    }

    fn all_of(
        &self,
        rule: &Rule,
        sources: &'r [Source],
        separator: &str,
        within: Found,
    ) -> Result<Option<Raw<'r>>, Box<Finding>> {
        let mut whole = String::new();
        let mut from = None;
        for source in sources {
            let Some(found) = self.pick(rule, source, within)? else { continue };
            let text = rule.finish.trim.apply(self.message.reading.text(found));
            if text.is_empty() {
                continue;
            }
            if !whole.is_empty() {
                whole.push_str(separator);
            }
            whole.push_str(text);
            from.get_or_insert((source, found));
        }
        Ok((!whole.is_empty()).then_some(Raw { text: Cow::Owned(whole), from }))
    }

    /// The one element that counts. Where the rule does not choose, a second one is a defect.
    fn pick(
        &self,
        rule: &Rule,
        source: &Source,
        within: Found,
    ) -> Result<Option<Found>, Box<Finding>> {
        let mut all = self.message.reading.find(source, within);
        let Some(first) = all.next() else { return Ok(None) };
        match rule.pick {
            Pick::First => Ok(Some(first)),
            Pick::Last => Ok(Some(all.last().unwrap_or(first))),
            Pick::Only => match all.next() {
                None => Ok(Some(first)),
                Some(_) if self.manner == Manner::Lenient => Ok(Some(first)),
                Some(second) => Err(Box::new(self.message.duplicate(
                    rule.order,
                    Some(&rule.to),
                    source,
                    second,
                ))),
            },
        }
    }
}

impl Rule {
    fn sources(&self) -> &[Source] {
        match &self.given {
            Given::From(sources) | Given::Concat { sources, .. } => sources,
            Given::Const(_) => &[],
        }
    }
}

impl Message<'_> {
    /// Whether all conditions hold.
    pub(super) fn holds(&self, conditions: &[Condition], within: Found) -> bool {
        conditions.iter().all(|condition| {
            let found = self.reading.find(&condition.source, within);
            let mut values = found.map(|found| trimmed(self.reading.text(found)));
            match &condition.holds {
                Holds::Is(wanted) => values.any(|value| wanted.iter().any(|word| **word == *value)),
                Holds::Not(unwanted) => {
                    !values.any(|value| unwanted.iter().any(|word| **word == *value))
                }
                Holds::Present => values.any(|value| !value.is_empty()),
                Holds::Absent => !values.any(|value| !value.is_empty()),
            }
        })
    }

    pub(super) fn missing(&self, rule: &Rule, within: Found) -> Finding {
        let source = rule.sources().first();
        let at = source.map_or(0, |source| self.place_of_missing(source, within));
        let alternatives =
            rule.sources().iter().skip(1).map(|source| format!(" or {}", source.shown));
        let expected = format!("a value, it is required{}", alternatives.collect::<String>());
        Finding {
            order: rule.order,
            code: FailureCode::MissingField,
            rule: Some(rule.to.to_string()),
            path: source.map(|source| source.shown.to_string()),
            at,
            value: None,
            expected,
        }
    }

    /// Where an element stands that is empty, or else where it should stand.
    pub(super) fn place_of_missing(&self, source: &Source, within: Found) -> usize {
        match self.reading.find(source, within).next() {
            Some(found) => self.reading.at(found),
            None => self.reading.gap_at(self.tree, source, within),
        }
    }

    fn misfit(&self, rule: &Rule, raw: &Raw<'_>, misfit: Misfit) -> Finding {
        let source = raw.from.map(|(source, _)| source).or_else(|| rule.sources().first());
        Finding {
            order: rule.order,
            code: misfit.code,
            rule: Some(rule.to.to_string()),
            path: source.map(|source| source.shown.to_string()),
            at: raw.from.map_or(0, |(_, found)| self.reading.text_at(found)),
            value: Some(raw.text.to_string()),
            expected: misfit.expected,
        }
    }

    pub(super) fn duplicate(
        &self,
        order: usize,
        rule: Option<&str>,
        source: &Source,
        second: Found,
    ) -> Finding {
        Finding {
            order,
            code: FailureCode::DuplicateField,
            rule: rule.map(str::to_owned),
            path: Some(source.shown.to_string()),
            at: self.reading.at(second),
            value: Some(trimmed(self.reading.text(second)).to_owned()),
            expected: "this field once".to_owned(),
        }
    }

    /// Makes defects of findings, with line and column.
    pub(super) fn defects(&self, findings: Vec<Finding>) -> Vec<Defect> {
        let mut findings = findings;
        findings.truncate(DEFECTS_MAX);
        findings
            .into_iter()
            .map(|finding| {
                let (line, column) = line_and_column(self.text, finding.at);
                Defect {
                    code: finding.code,
                    rule: finding.rule,
                    path: finding.path,
                    line: Some(line),
                    column: Some(column),
                    value: finding.value.map(|value| shortened(&value)),
                    expected: finding.expected,
                }
            })
            .collect()
    }
}

/// The one defect of a document that cannot be read.
pub(super) fn defect_of(text: &str, fault: Fault) -> Defect {
    let (line, column) = line_and_column(text, fault.at);
    Defect {
        code: fault.code,
        rule: None,
        path: None,
        line: Some(line),
        column: Some(column),
        value: fault.found.map(|found| shortened(&found)),
        expected: fault.expected,
    }
}

/// Cuts a value to a length that can be shown.
pub(super) fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_MAX) {
        None => value.to_owned(),
        Some((at, _)) => format!("{}…", &value[..at]),
    }
}

/// Line and column of a byte, from 1, the column in characters.
pub(super) fn line_and_column(text: &str, at: usize) -> (u32, u32) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    // Continuation bytes of UTF-8 do not begin a character.
    let column = before[start..].iter().filter(|byte| *byte & 0xC0 != 0x80).count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
