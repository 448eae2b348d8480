//! Answers of asset management: from their bytes to what they say.

use super::diagnostic::File;
use super::mapping::{Parser, Root};
use super::reading::{Found, Reading, trimmed};
use super::rule::Condition;
use super::source::{Source, Tree};
use super::toml_tree::Fields;
use super::translate::{Finding, Message};
use crate::domain::{
    Answer, AnswerException, AnswerReference, ExternalKey, FailureCode, SyncRequestId, Verdict,
};

/// How an answer is read, from `answer/mapping.toml`.
#[derive(Debug)]
pub(super) struct AnswerShape {
    pub(super) folder: Box<str>,
    pub(super) root: Root,
    pub(super) tree: Tree,
    pub(super) parts: AnswerParts,
}

#[derive(Debug)]
pub(super) struct AnswerParts {
    reference: Source,
    /// One of them is enough.
    positive: Vec<Condition>,
    negative: Vec<Condition>,
    keys: Vec<Key>,
    exceptions: Exceptions,
}

#[derive(Debug)]
struct Key {
    entity: Box<str>,
    source: Source,
    required: bool,
}

#[derive(Debug)]
struct Exceptions {
    /// Where the exceptions can stand; the first that has any counts.
    ways: Vec<Way>,
}

#[derive(Debug)]
struct Way {
    each: Source,
    category: Source,
    number: Source,
    parameters: Vec<Source>,
    text: Vec<Source>,
}

/// The keys of `mapping.toml` of an answer.
const KEYS: &[&str] =
    &["kind", "source", "reference", "positive", "negative", "keys", "exceptions"];

/// Reads `answer/mapping.toml`, after its root.
pub(super) fn parse(parser: &mut Parser<'_>, fields: &Fields<'_>) -> Option<AnswerParts> {
    fields.check_keys(KEYS, parser.problems);
    let reference = fields.required_text("reference", parser.problems);
    let reference = reference.and_then(|text| parser.source(&text, None));
    let positive = verdict(parser, fields, "positive");
    let negative = verdict(parser, fields, "negative");
    let keys = keys(parser, fields);
    let exceptions = exceptions(parser, fields);
    Some(AnswerParts { reference: reference?, positive, negative, keys, exceptions: exceptions? })
}

fn verdict(parser: &mut Parser<'_>, fields: &Fields<'_>, key: &str) -> Vec<Condition> {
    if !fields.has(key) {
        let help = format!("add {key} = {{ path = \"…\", is = \"…\" }}");
        parser.problems.error(parser.file, 0..0, format!("'{key}' is missing"), help);
    }
    parser.conditions(fields, key, None)
}

fn keys(parser: &mut Parser<'_>, fields: &Fields<'_>) -> Vec<Key> {
    let mut keys = Vec::new();
    for key in fields.tables("keys", parser.problems) {
        key.check_keys(&["entity", "from", "required"], parser.problems);
        let entity = key.required_text("entity", parser.problems);
        let from = key.required_text("from", parser.problems);
        let source = from.and_then(|from| parser.source(&from, None));
        let required = key.flag("required", parser.problems);
        if let (Some(entity), Some(source)) = (entity, source) {
            keys.push(Key { entity: entity.value.into(), source, required });
        }
    }
    keys
}

fn exceptions(parser: &mut Parser<'_>, fields: &Fields<'_>) -> Option<Exceptions> {
    let file: &File = parser.file;
    if !fields.has("exceptions") {
        let help = "add exceptions.each, exceptions.category and exceptions.number";
        parser.problems.error(file, 0..0, "'exceptions' is missing", help);
        return None;
    }
    let part = fields.table("exceptions", parser.problems)?;
    part.check_keys(&["each", "category", "number", "parameters", "text"], parser.problems);
    let category = part.required_text("category", parser.problems);
    let number = part.required_text("number", parser.problems);
    let parameters = part.texts("parameters", parser.problems).unwrap_or_default();
    let text = part.texts("text", parser.problems).unwrap_or_default();
    if !part.has("each") {
        let help = "add exceptions.each = \"…\", the element of one exception";
        parser.problems.error(file, part.span.clone(), "'each' is missing", help);
    }
    let each = part.texts("each", parser.problems)?;
    let (category, number) = (category?, number?);
    let mut ways = Vec::new();
    let each: Vec<_> = each.iter().map(|each| parser.place(each, None)).collect();
    for each in each.into_iter().collect::<Option<Vec<_>>>()? {
        ways.push(Way {
            category: parser.source(&category, Some(&each))?,
            number: parser.source(&number, Some(&each))?,
            parameters: parser.sources(&parameters, Some(&each))?,
            text: parser.sources(&text, Some(&each))?,
            each,
        });
    }
    Some(Exceptions { ways })
}

impl AnswerShape {
    /// Reads what the answer says, or why it says nothing clear.
    pub(super) fn read(&self, message: &Message<'_>) -> Result<Answer, Vec<Finding>> {
        let parts = &self.parts;
        let mut findings = Vec::new();
        let sync_request = parts.reference(message, &mut findings);
        let holds = |conditions: &[Condition]| {
            let mut each = conditions.iter();
            each.any(|condition| message.holds(std::slice::from_ref(condition), Found::ROOT))
        };
        let exceptions = parts.exceptions.read(message);
        let refused = holds(&parts.negative);
        let verdict = match (holds(&parts.positive), refused) {
            (true, false) if exceptions.is_empty() => Some(Verdict::Positive),
            (false, true) => Some(Verdict::Negative),
            (true, _) => {
                findings.push(unclear(message, &parts.positive, "one verdict, not both"));
                None
            }
            (false, false) => {
                findings.push(unclear(message, &parts.positive, "a positive or negative verdict"));
                None
            }
        };
        let keys = match verdict {
            Some(Verdict::Positive) => parts.keys(message, &mut findings),
            Some(Verdict::Negative) | None => Vec::new(),
        };
        match verdict {
            Some(verdict) if findings.is_empty() => {
                let reference = AnswerReference { message: None, sync_request };
                Ok(Answer { reference, verdict, keys, exceptions })
            }
            Some(_) | None => Err(findings),
        }
    }
}

impl AnswerParts {
    fn reference(
        &self,
        message: &Message<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<SyncRequestId> {
        let found = single(message, &self.reference, findings)?;
        let text = trimmed(message.reading.text(found));
        // An answer without a reference can still be correlated by its properties.
        if text.is_empty() {
            return None;
        }
        match SyncRequestId::new(text) {
            Ok(id) => Some(id),
            Err(wrong) => {
                let length = SyncRequestId::LENGTH_MAX;
                findings.push(Finding {
                    value: Some(wrong),
                    at: message.reading.text_at(found),
                    ..finding(
                        FailureCode::BadValue,
                        &self.reference,
                        format!("1 to {length} visible ASCII characters"),
                    )
                });
                None
            }
        }
    }

    fn keys(&self, message: &Message<'_>, findings: &mut Vec<Finding>) -> Vec<ExternalKey> {
        let mut keys = Vec::new();
        for key in &self.keys {
            let found = single(message, &key.source, findings);
            let value = found.map_or("", |found| trimmed(message.reading.text(found)));
            if !value.is_empty() {
                keys.push(ExternalKey { entity: key.entity.to_string(), value: value.to_owned() });
            } else if key.required {
                findings.push(Finding {
                    at: message.place_of_missing(&key.source, Found::ROOT),
                    ..finding(
                        FailureCode::MissingField,
                        &key.source,
                        "the key of what was made".to_owned(),
                    )
                });
            }
        }
        keys
    }
}

impl Exceptions {
    fn read(&self, message: &Message<'_>) -> Vec<AnswerException> {
        let mut ways = self.ways.iter().map(|way| way.read(message));
        ways.find(|exceptions| !exceptions.is_empty()).unwrap_or_default()
    }
}

impl Way {
    fn read(&self, message: &Message<'_>) -> Vec<AnswerException> {
        let reading = message.reading;
        let mut exceptions = Vec::new();
        for found in reading.find(&self.each, Found::ROOT) {
            let first = |sources| values(reading, sources, found).next().unwrap_or_default();
            let exception = AnswerException {
                category: first(std::slice::from_ref(&self.category)).to_owned(),
                number: first(std::slice::from_ref(&self.number)).to_owned(),
                parameters: values(reading, &self.parameters, found).map(str::to_owned).collect(),
                text: first(&self.text).to_owned(),
            };
            // An element that says nothing is the group around those that do.
            if exception != AnswerException::default() {
                exceptions.push(exception);
            }
        }
        exceptions
    }
}

/// The values of the sources inside an element, one source after the other.
fn values<'r>(
    reading: &'r Reading<'_>,
    sources: &'r [Source],
    within: Found,
) -> impl Iterator<Item = &'r str> {
    let found = sources.iter().flat_map(move |source| reading.find(source, within));
    found.map(|found| trimmed(reading.text(found))).filter(|text| !text.is_empty())
}

fn single(message: &Message<'_>, source: &Source, findings: &mut Vec<Finding>) -> Option<Found> {
    let mut all = message.reading.find(source, Found::ROOT);
    let found = all.next();
    if let Some(second) = all.next() {
        findings.push(message.duplicate(0, None, source, second));
        return None;
    }
    found
}

fn finding(code: FailureCode, source: &Source, expected: String) -> Finding {
    let path = Some(source.shown.to_string());
    Finding { order: 0, code, rule: None, path, at: 0, value: None, expected }
}

fn unclear(message: &Message<'_>, conditions: &[Condition], expected: &str) -> Finding {
    let source = conditions.first().map(|condition| &condition.source);
    let found = source.and_then(|source| message.reading.find(source, Found::ROOT).next());
    Finding {
        order: 0,
        code: if found.is_some() { FailureCode::BadValue } else { FailureCode::MissingField },
        rule: None,
        path: source.map(|source| source.shown.to_string()),
        at: source.map_or(0, |source| match found {
            Some(found) => message.reading.text_at(found),
            None => message.place_of_missing(source, Found::ROOT),
        }),
        value: found.map(|found| trimmed(message.reading.text(found)).to_owned()),
        expected: expected.to_owned(),
    }
}
