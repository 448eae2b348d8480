//! Replies to billing: from what is said to its bytes.
//!
//! A reply is laid out as a document of its own first (its paths are [`PATHS`], explained in
//! `docs/mapping.md`), and the rules of `reply/mapping.toml` make billing's message of it, like any
//! other mapping. So a site can change the shape of its replies without Rust.

use std::borrow::Cow;
use std::collections::HashMap;

use super::mapping::{Parser, Root, root};
use super::reading::{Found, Reading};
use super::source::{NodeId, Tree};
use super::target::Layout;
use super::toml_tree::Fields;
use super::translate::{self, Manner, Message};
use crate::domain::{AnswerException, ExternalKey, Failure, FailureCode, Reply, Sign, Told};

/// Every path of the document of a reply.
pub(super) const PATHS: &[&str] = &[
    "syncRequestId",
    "outcome",
    "hasError",
    "comments",
    "supersededBy",
    "reason",
    "failureCode",
    "keys",
    "keys/key",
    "keys/key/entity",
    "keys/key/value",
    "exceptions",
    "exceptions/exception",
    "exceptions/exception/sequence",
    "exceptions/exception/category",
    "exceptions/exception/number",
    "exceptions/exception/comments",
    "exceptions/exception/parameters",
    "exceptions/exception/parameters/parameter",
    "exceptions/exception/parameters/parameter/sequence",
    "exceptions/exception/parameters/parameter/value",
];

/// How many defects of a failure are told to billing one by one.
const PARAMETERS_MAX: usize = 20;

/// How a reply is written, from `reply/mapping.toml`.
#[derive(Debug)]
pub(super) struct ReplyMapping {
    pub(super) folder: Box<str>,
    tree: Tree,
    layout: Layout,
    codes: Codes,
}

/// Billing's numbers for what has none of its own.
#[derive(Debug)]
struct Codes {
    /// `category!number` of asset management to `category!number` of billing.
    map: HashMap<Box<str>, Code>,
    generic: Code,
    unmapped_value: Code,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Code {
    category: Box<str>,
    number: Box<str>,
}

impl Code {
    /// Reads `category!number`.
    fn parse(text: &str) -> Option<Self> {
        let (category, number) = text.split_once('!')?;
        let whole = |part: &str| {
            let digits = part.strip_prefix('-').unwrap_or(part);
            (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        (whole(category) && whole(number))
            .then(|| Self { category: category.into(), number: number.into() })
    }
}

/// Reads `reply/mapping.toml`. The tree is that of the reply's own document.
pub(super) fn parse(parser: Parser<'_>, fields: &Fields<'_>) -> Option<ReplyMapping> {
    let mut parser = parser;
    parser.known_paths = Some(PATHS);
    fields.check_keys(&["kind", "target", "errors", "rules"], parser.problems);
    let target: Option<Root> = root(fields, "target", &["root", "namespace"], parser.problems);
    let codes = codes(&mut parser, fields);
    let layout = parser.rules_of(fields, target.as_ref());
    let tree = std::mem::replace(parser.tree, Tree::new("reply"));
    Some(ReplyMapping { folder: parser.folder.into(), tree, layout: layout?, codes: codes? })
}

fn codes(parser: &mut Parser<'_>, fields: &Fields<'_>) -> Option<Codes> {
    if !fields.has("errors") {
        let help = "add errors.generic = \"11114!11001\", billing's category and number";
        parser.problems.error(parser.file, 0..0, "'errors' is missing", help);
        return None;
    }
    let errors = fields.table("errors", parser.problems)?;
    errors.check_keys(&["map", "generic", "unmapped_value"], parser.problems);
    let map = errors.text("map", parser.problems);
    let map = map.and_then(|name| parser.map(&name, None));
    let mut codes = HashMap::new();
    if let Some(map) = &map {
        for (from, to) in &map.entries {
            if let Some(code) = Code::parse(to) {
                codes.insert(from.clone(), code);
                continue;
            }
            let message = format!("'{to}', the entry of '{from}', is no category!number");
            parser.problems.file_error(
                &map.file,
                message,
                "write \"11502!13004\" = \"11114!11001\"",
            );
        }
    }
    let mut code = |key| {
        let text = errors.required_text(key, parser.problems)?;
        let code = Code::parse(text.value);
        if code.is_none() {
            let message = format!("'{}' is no category!number", text.value);
            parser.problems.error(parser.file, text.span, message, "write \"11114!11001\"");
        }
        code
    };
    let (generic, unmapped_value) = (code("generic"), code("unmapped_value"));
    Some(Codes { map: codes, generic: generic?, unmapped_value: unmapped_value? })
}

impl ReplyMapping {
    pub(super) fn write<'a>(&'a self, reply: &'a Reply) -> Vec<u8> {
        let mut page = Page::new(&self.tree);
        page.leaf("syncRequestId", reply.sync_request.as_str());
        page.leaf("outcome", reply.told.outcome());
        let error = if reply.told.sign() == Sign::Positive { "false" } else { "true" };
        page.leaf("hasError", error);
        match &reply.told {
            Told::Applied(keys) => page.keys(keys),
            Told::Rejected(exceptions) => self.rejected(&mut page, exceptions),
            Told::Parked(failure) => self.parked(&mut page, failure),
            Told::Superseded { by } => {
                if let Some(by) = by {
                    page.leaf("supersededBy", by.as_str());
                }
                let by = by.as_ref().map_or("a newer one", |by| by.as_str());
                page.leaf("comments", format!("superseded by sync request {by}"));
            }
            Told::Discarded { reason } => {
                page.leaf("reason", reason.as_str());
                page.open("exceptions");
                let comments = Cow::Borrowed("discarded by an operator");
                page.exception(1, &self.codes.generic, [reason.as_str().into()], comments);
                page.close();
            }
        }
        page.close();
        let message = Message { text: "", tree: &self.tree, reading: &page.reading };
        translate::write(message, &self.layout, Manner::Lenient).bytes
    }

    fn rejected<'a>(&'a self, page: &mut Page<'a, '_>, exceptions: &'a [AnswerException]) {
        page.open("exceptions");
        for (index, exception) in exceptions.iter().enumerate() {
            let key = format!("{}!{}", exception.category, exception.number);
            let code = self.codes.map.get(&*key).unwrap_or(&self.codes.generic);
            let mut comments = match (exception.category.as_str(), exception.number.as_str()) {
                ("", "") => "W1 without category and number".to_owned(),
                (category, number) => format!("W1 category {category} number {number}"),
            };
            if !exception.text.is_empty() {
                comments.extend([": ", &exception.text]);
            }
            let parameters = exception.parameters.iter().map(|text| text.as_str().into());
            page.exception(index + 1, code, parameters, comments.into());
        }
        if exceptions.is_empty() {
            let parameter = "asset management refused the request without a reason".into();
            let comments = "W1 without category and number".into();
            page.exception(1, &self.codes.generic, [parameter], comments);
        }
        page.close();
    }

    fn parked<'a>(&'a self, page: &mut Page<'a, '_>, failure: &'a Failure) {
        page.leaf("failureCode", failure.code.as_str());
        let code = match failure.code {
            FailureCode::UnmappedValue => &self.codes.unmapped_value,
            _ => &self.codes.generic,
        };
        let mut parameters = vec![Cow::Borrowed(failure.detail.as_str())];
        if failure.defects.len() > 1 {
            let told = failure.defects.iter().take(PARAMETERS_MAX);
            parameters.extend(told.map(|defect| Cow::Owned(defect.to_string())));
        }
        page.open("exceptions");
        let comments = format!("{} {}", failure.code, failure.code.title());
        page.exception(1, code, parameters, comments.into());
        page.close();
    }
}

/// A document that is written down instead of read. What the mapping does not ask for is left out.
struct Page<'a, 't> {
    tree: &'t Tree,
    reading: Reading<'a>,
    /// The open elements, with their place in the document if the mapping asks for them.
    open: Vec<Option<(NodeId, Found)>>,
}

impl<'a, 't> Page<'a, 't> {
    fn new(tree: &'t Tree) -> Self {
        let mut reading = Reading::begun(tree, 1024);
        let root = reading.open_root();
        Self { tree, reading, open: vec![Some((NodeId::ROOT, root))] }
    }

    fn open(&mut self, name: &str) {
        let parent = self.open.last().copied().flatten();
        let child = parent.and_then(|(node, found)| {
            let child = self.tree.child(node, name)?;
            Some((child, self.reading.open(child, found, 0, 0)))
        });
        self.open.push(child);
    }

    fn close(&mut self) {
        if let Some(Some((_, found))) = self.open.pop() {
            self.reading.close(found);
        }
    }

    fn leaf(&mut self, name: &str, text: impl Into<Cow<'a, str>>) {
        self.open(name);
        if let Some(Some((_, found))) = self.open.last() {
            self.reading.append(*found, 0, text.into());
        }
        self.close();
    }

    fn keys(&mut self, keys: &'a [ExternalKey]) {
        self.open("keys");
        for key in keys {
            self.open("key");
            self.leaf("entity", key.entity.as_str());
            self.leaf("value", key.value.as_str());
            self.close();
        }
        self.close();
    }

    fn exception(
        &mut self,
        sequence: usize,
        code: &'a Code,
        parameters: impl IntoIterator<Item = Cow<'a, str>>,
        comments: Cow<'a, str>,
    ) {
        self.open("exception");
        self.leaf("sequence", sequence.to_string());
        self.leaf("category", &*code.category);
        self.leaf("number", &*code.number);
        self.open("parameters");
        for (index, parameter) in parameters.into_iter().enumerate() {
            self.open("parameter");
            self.leaf("sequence", (index + 1).to_string());
            self.leaf("value", parameter);
            self.close();
        }
        self.close();
        self.leaf("comments", comments);
        self.close();
    }
}
