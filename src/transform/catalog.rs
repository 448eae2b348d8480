//! All mappings by kind of message: what the bridge asks to translate, and what a reload swaps.

use std::path::Path;

use super::answer::AnswerShape;
use super::diagnostic::{LoadErrors, Problem};
use super::encoding::{ContentType, decode};
use super::load::{self, Folder};
use super::mapping::{Identity, Mapping, Root};
use super::reading::{self, Found, trimmed};
use super::reply::ReplyMapping;
use super::source::{Source, Tree};
use super::translate::{self, Finding, Manner, Message, defect_of};
use super::values::DateForm;
use super::xml::{Fault, Limits, Start};
use crate::domain::{
    Answer, Failure, FailureCode, Reply, Revision, ServicePointId, SyncRequestId, Translation,
};

/// The mappings of one root element. They share one reading of the message.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) root: Root,
    pub(super) tree: Tree,
    pub(super) mappings: Vec<Mapping>,
}

/// Every mapping that the bridge uses. Never changes; a reload makes a new one.
#[derive(Debug)]
pub struct Catalog {
    pub(super) shapes: Vec<Shape>,
    pub(super) answers: Vec<AnswerShape>,
    pub(super) reply: ReplyMapping,
    pub(super) digest: String,
    pub(super) warnings: Vec<Problem>,
    pub(super) limits: Limits,
}

/// What came of a request: who it is about, as far as that could be read, and the asset location
/// or why there is none.
#[derive(Clone, Debug)]
pub struct Translated {
    /// Billing's id, also if the translation failed.
    pub sync_request: Option<SyncRequestId>,
    /// The service point, also if the translation failed.
    pub service_point: Option<ServicePointId>,
    /// How new the request is, as far as it says.
    pub revision: Revision,
    /// The message for asset management, or every defect.
    pub outcome: Result<Translation, Failure>,
}

/// What kind of message something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recognised {
    /// A sync request of billing.
    Request,
    /// An answer of asset management.
    Answer,
}

impl Catalog {
    /// Gives the mappings that are part of the program.
    pub fn built_in() -> Result<Self, LoadErrors> {
        load::compile(Folder::built_in())
    }

    /// Loads the mappings of a folder, or tells every mistake in it.
    pub fn load(folder: &Path) -> Result<Self, LoadErrors> {
        load::compile(Folder::read(folder)?)
    }

    /// Sets the bounds of what is read.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The digest of all mappings and value maps, in short hexadecimal form.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What is worth a look, but no mistake: maps that no rule uses.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The folders of the mappings: requests, then answers, then replies.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        let requests = self.shapes.iter().flat_map(|shape| &shape.mappings);
        let answers = self.answers.iter().map(|answer| &*answer.folder);
        requests.map(|mapping| &*mapping.folder).chain(answers).chain([&*self.reply.folder])
    }

    /// Says what kind of message it is by its root, whatever is wrong further on.
    pub fn recognise(&self, payload: &[u8], content: &ContentType<'_>) -> Option<Recognised> {
        let decoded = decode(payload, content, &self.limits).ok()?;
        let mut recognised = None;
        reading::read(&decoded.text, self.limits, |root| {
            if self.shapes.iter().any(|shape| shape.root.is(root)) {
                recognised = Some(Recognised::Request);
            } else if self.answers.iter().any(|answer| answer.root.is(root)) {
                recognised = Some(Recognised::Answer);
            }
            None
        })
        .1
        .ok();
        recognised
    }

    /// Translates a request of billing.
    pub fn translate(&self, payload: &[u8], content: &ContentType<'_>) -> Translated {
        self.translate_by(payload, content).0
    }

    /// Translates, and tells which mapping's folder did.
    pub(super) fn translate_by(
        &self,
        payload: &[u8],
        content: &ContentType<'_>,
    ) -> (Translated, Option<&Mapping>) {
        let decoded = match decode(payload, content, &self.limits) {
            Ok(decoded) => decoded,
            Err(fault) => return (Translated::unread(failure_of("", fault)), None),
        };
        let text = &*decoded.text;
        let mut shape = None;
        let (reading, read) = reading::read(text, self.limits, |root| {
            shape = self.shapes.iter().find(|shape| shape.root.is(root));
            shape.map(|shape| &shape.tree)
        });
        let fault = first_fault(read, decoded.flaw);
        let (Some(shape), Some(reading)) = (shape, reading) else {
            let fault = fault.unwrap_or_else(|| unknown_root(text));
            return (Translated::unread(failure_of(text, fault)), None);
        };
        let message = Message { text, tree: &shape.tree, reading: &reading };
        match fault {
            Some(fault) => (shape.broken(&message, failure_of(text, fault)), None),
            None => shape.translate(&message),
        }
    }

    /// Reads an answer of asset management. Every failure is `TL4001`, with the defects inside.
    pub fn read_answer(
        &self,
        payload: &[u8],
        content: &ContentType<'_>,
    ) -> Result<Answer, Failure> {
        let decoded = decode(payload, content, &self.limits)
            .map_err(|fault| unreadable(vec![defect_of("", fault)]))?;
        let text = &*decoded.text;
        let mut shape = None;
        let (reading, read) = reading::read(text, self.limits, |root| {
            shape = self.answers.iter().find(|shape| shape.root.is(root));
            shape.map(|shape| &shape.tree)
        });
        if let Some(fault) = first_fault(read, decoded.flaw) {
            return Err(unreadable(vec![defect_of(text, fault)]));
        }
        let (Some(shape), Some(reading)) = (shape, reading) else {
            return Err(unreadable(vec![defect_of(text, unknown_root(text))]));
        };
        let message = Message { text, tree: &shape.tree, reading: &reading };
        shape.read(&message).map_err(|findings| unreadable(message.defects(findings)))
    }

    /// Writes a reply to billing. Never fails: what cannot be said exactly is said with the
    /// generic error codes.
    pub fn write_reply(&self, reply: &Reply) -> Vec<u8> {
        self.reply.write(reply)
    }
}

impl Root {
    pub(super) fn is(&self, start: &Start<'_>) -> bool {
        *self.name == *start.local && *self.namespace == *start.namespace
    }
}

impl Translated {
    fn unread(failure: Failure) -> Self {
        Self {
            sync_request: None,
            service_point: None,
            revision: Revision::default(),
            outcome: Err(failure),
        }
    }
}

fn failure_of(text: &str, fault: Fault) -> Failure {
    Failure::of_defects(vec![defect_of(text, fault)])
}

fn unreadable(defects: Vec<crate::domain::Defect>) -> Failure {
    Failure { code: FailureCode::AnswerUnreadable, ..Failure::of_defects(defects) }
}

/// Where the text ends too early because its bytes are wrong, every complaint about its end is
/// only a consequence.
fn first_fault(read: Result<(), Fault>, flaw: Option<Fault>) -> Option<Fault> {
    match (read.err(), flaw) {
        (Some(fault), Some(flaw)) if fault.code == FailureCode::MalformedXml => Some(flaw),
        (Some(fault), _) => Some(fault),
        (None, flaw) => flaw,
    }
}

/// A well-formed document whose root no mapping knows.
fn unknown_root(text: &str) -> Fault {
    let mut at = 0;
    let (mut name, mut namespace) = (String::new(), String::new());
    let (_, _) = reading::read(text, Limits { body: usize::MAX, ..Limits::default() }, |root| {
        at = root.at;
        root.local.clone_into(&mut name);
        root.namespace.clone_into(&mut namespace);
        None
    });
    if name.eq_ignore_ascii_case("html") {
        let expected = "an XML message, not a web page".to_owned();
        return Fault::new(FailureCode::NotXml, at, expected).with_found("html");
    }
    let expected = "a root element and namespace that a mapping knows".to_owned();
    let found = format!("{{{namespace}}}{name}");
    Fault::new(FailureCode::UnknownMessage, at, expected).with_found(&found)
}

impl Shape {
    fn translate(&self, message: &Message<'_>) -> (Translated, Option<&Mapping>) {
        let mut taking = self.mappings.iter();
        let Some(mapping) = taking.find(|mapping| message.holds(&mapping.select, Found::ROOT))
        else {
            let expected = "a message that the 'select' of a mapping takes".to_owned();
            let fault =
                Fault::new(FailureCode::UnknownMessage, message.reading.at(Found::ROOT), expected);
            return (self.broken(message, failure_of(message.text, fault)), None);
        };
        let identified = identify(message, &mapping.identity);
        let mut findings = identified.findings;
        let written = translate::write(*message, &mapping.layout, Manner::Strict);
        // Mostly a rule reads the same field; one defect is told once.
        findings.retain(|finding| !written.findings.iter().any(|other| other.is_about(finding)));
        findings.extend(written.findings);
        if mapping.strict {
            findings.extend(unknown_elements(message));
        }
        let outcome = if findings.is_empty() {
            Ok(Translation {
                kind: mapping.kind,
                outgoing: written.bytes,
                mapping: mapping.digest.clone(),
                passes: written.passes,
            })
        } else {
            Err(Failure::of_defects(message.defects(findings)))
        };
        let translated = Translated {
            sync_request: identified.sync_request,
            service_point: identified.service_point,
            revision: identified.revision,
            outcome,
        };
        (translated, Some(mapping))
    }

    /// What can still be said of a message that no mapping takes, or that breaks off.
    fn broken(&self, message: &Message<'_>, failure: Failure) -> Translated {
        let identities = self.mappings.iter().map(|mapping| identify(message, &mapping.identity));
        let mut translated = Translated::unread(failure);
        for identified in identities {
            translated.revision = identified.revision;
            translated.sync_request = identified.sync_request;
            translated.service_point = identified.service_point;
            if translated.sync_request.is_some() {
                break;
            }
        }
        translated
    }
}

struct Identified {
    sync_request: Option<SyncRequestId>,
    service_point: Option<ServicePointId>,
    revision: Revision,
    findings: Vec<Finding>,
}

fn identify(message: &Message<'_>, identity: &Identity) -> Identified {
    let mut findings = Vec::new();
    let expected = |length| format!("1 to {length} visible ASCII characters");
    let sync_request = Field { name: "identity.sync_request", source: &identity.sync_request };
    let sync_request = sync_request.required(message, &mut findings, |text| {
        SyncRequestId::new(text).map_err(|_| expected(SyncRequestId::LENGTH_MAX))
    });
    let service_point = Field { name: "identity.service_point", source: &identity.service_point };
    let service_point = service_point.required(message, &mut findings, |text| {
        ServicePointId::new(text).map_err(|_| expected(ServicePointId::LENGTH_MAX))
    });
    let version = identity.version.as_ref().and_then(|source| {
        let version = Field { name: "identity.version", source };
        version.read(message, &mut findings, |text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.ok_or_else(|| "a whole number".to_owned())
        })
    });
    let created_at = identity.created_at.as_ref().and_then(|source| {
        let created_at = Field { name: "identity.created_at", source };
        created_at.read(message, &mut findings, |text| {
            let moment = DateForm::DateTime.read(text)?;
            moment.timestamp().ok_or_else(|| "a date that can be told".to_owned())
        })
    });
    Identified { sync_request, service_point, revision: Revision { version, created_at }, findings }
}

/// A field of the identity.
struct Field<'m> {
    name: &'static str,
    source: &'m Source,
}

impl Field<'_> {
    fn required<T>(
        &self,
        message: &Message<'_>,
        findings: &mut Vec<Finding>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let before = findings.len();
        let value = self.read(message, findings, parse);
        if value.is_none() && findings.len() == before {
            let at = message.place_of_missing(self.source, Found::ROOT);
            let expected = "a value, it is required".to_owned();
            findings.push(self.finding(FailureCode::MissingField, at, None, expected));
        }
        value
    }

    /// Reads the field, if it is there. One that stands twice says nothing for certain.
    fn read<T>(
        &self,
        message: &Message<'_>,
        findings: &mut Vec<Finding>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let reading = message.reading;
        let mut all = reading.find(self.source, Found::ROOT);
        let found = all.next().filter(|found| reading.is_whole(*found))?;
        if let Some(second) = all.next() {
            findings.push(message.duplicate(0, Some(self.name), self.source, second));
            return None;
        }
        let text = trimmed(reading.text(found));
        if text.is_empty() {
            return None;
        }
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let (at, value) = (reading.text_at(found), Some(text.to_owned()));
                findings.push(self.finding(FailureCode::BadValue, at, value, expected));
                None
            }
        }
    }

    fn finding(
        &self,
        code: FailureCode,
        at: usize,
        value: Option<String>,
        expected: String,
    ) -> Finding {
        let path = Some(self.source.shown.to_string());
        Finding { order: 0, code, rule: Some(self.name.to_owned()), path, at, value, expected }
    }
}

fn unknown_elements(message: &Message<'_>) -> Vec<Finding> {
    let unknown = message.reading.unknown.iter();
    let findings = unknown.map(|element| Finding {
        order: usize::MAX,
        code: FailureCode::UnknownField,
        rule: None,
        path: Some(message.tree.shown(element.parent, element.name)),
        at: element.at,
        value: None,
        expected: "only elements that the mapping knows; add it to a rule or to source.ignore"
            .to_owned(),
    });
    findings.collect()
}
