//! A mapping, made of its `mapping.toml`: which messages it takes, who they are about, and the
//! rules. Checks everything that can be known before a message arrives.

use std::sync::Arc;

use super::awake::Alarm;
use super::check::{self, RULE_KEYS};
use super::diagnostic::{File, Problems};
use super::reading::CHOICES_MAX;
use super::rule::{Condition, Finish, Form, Given, Group, Holds, Pick, Rule};
use super::source::{Source, Tree};
use super::target::{Block, Clash, Layout, Outline, Tag};
use super::toml_tree::{Fields, Text, nearest};
use super::value_map::{Shelf, ValueMap};
use super::values::Trim;
use crate::domain::SubjectKind;

/// How one kind of message becomes another.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) folder: Box<str>,
    pub(super) kind: SubjectKind,
    /// Which messages of its root it takes.
    pub(super) select: Vec<Condition>,
    /// Whether elements that no mapping knows are defects.
    pub(super) strict: bool,
    pub(super) identity: Identity,
    pub(super) layout: Layout,
    pub(super) digest: String,
}

/// Where a message says who it is about and how new it is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) sync_request: Source,
    pub(super) service_point: Source,
    pub(super) version: Option<Source>,
    pub(super) created_at: Option<Source>,
}

/// A root element by name and namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Root {
    pub(super) name: Box<str>,
    pub(super) namespace: Box<str>,
}

/// How deep `each` rules can stand inside each other.
const NESTING_MAX: usize = 4;

/// Reads the parts of mapping files. All mappings of one root fill the same tree.
pub(super) struct Parser<'p> {
    pub(super) file: &'p File,
    pub(super) folder: &'p str,
    pub(super) tree: &'p mut Tree,
    pub(super) maps: &'p mut Shelf,
    pub(super) problems: &'p mut Problems,
    /// The only paths that there are, where the source is not a message from outside.
    pub(super) known_paths: Option<&'p [&'p str]>,
    /// Where the rule stands among all of the mapping.
    pub(super) order: usize,
}

/// Reads `source.root` and `source.namespace`, or those of the target.
pub(super) fn root(
    fields: &Fields<'_>,
    key: &str,
    known: &[&str],
    problems: &mut Problems,
) -> Option<Root> {
    if !fields.has(key) {
        let help = format!("add {key}.root = \"…\" and {key}.namespace = \"…\"");
        problems.error(fields.file, 0..0, format!("'{key}' is missing"), help);
        return None;
    }
    let part = fields.table(key, problems)?;
    part.check_keys(known, problems);
    let name = part.required_text("root", problems);
    let namespace = part.required_text("namespace", problems)?.value.into();
    let name = name?;
    if !super::characters::is_name(name.value) {
        let message = format!("'{}' is no element name", name.value);
        problems.error(fields.file, name.span, message, "write the local name, without a prefix");
        return None;
    }
    Some(Root { name: name.value.into(), namespace })
}

impl Parser<'_> {
    /// Reads a mapping of requests, after its root.
    pub(super) fn mapping(&mut self, fields: &Fields<'_>, kind: SubjectKind) -> Option<Mapping> {
        fields.check_keys(
            &["kind", "source", "select", "identity", "target", "rules"],
            self.problems,
        );
        let strict = self.source_options(fields);
        let select = self.conditions(fields, "select", None);
        let identity = self.identity(fields);
        let target = root(fields, "target", &["root", "namespace"], self.problems);
        let layout = self.rules_of(fields, target.as_ref());
        Some(Mapping {
            folder: self.folder.into(),
            kind,
            select,
            strict,
            identity: identity?,
            layout: layout?,
            digest: String::new(),
        })
    }

    fn source_options(&mut self, fields: &Fields<'_>) -> bool {
        let Some(source) = fields.table("source", self.problems) else { return false };
        for path in source.texts("ignore", self.problems).unwrap_or_default() {
            if let Some(path) = path.path(self.file, self.problems) {
                self.tree.ignore(&path);
            }
        }
        let word = self.word(&source, "unknown", &["ignore", "refuse"]);
        word == Some("refuse")
    }

    fn identity(&mut self, fields: &Fields<'_>) -> Option<Identity> {
        if !fields.has("identity") {
            let help = "add identity.sync_request = \"…\" and identity.service_point = \"…\"";
            self.problems.error(self.file, 0..0, "'identity' is missing", help);
            return None;
        }
        let identity = fields.table("identity", self.problems)?;
        let known = ["sync_request", "service_point", "version", "created_at"];
        identity.check_keys(&known, self.problems);
        let sync_request = identity.required_text("sync_request", self.problems);
        let service_point = identity.required_text("service_point", self.problems);
        let version = identity.text("version", self.problems);
        let created_at = identity.text("created_at", self.problems);
        let sync_request = sync_request.and_then(|text| self.source(&text, None));
        let service_point = service_point.and_then(|text| self.source(&text, None));
        let version = version.and_then(|text| self.source(&text, None));
        let created_at = created_at.and_then(|text| self.source(&text, None));
        Some(Identity {
            sync_request: sync_request?,
            service_point: service_point?,
            version,
            created_at,
        })
    }

    /// Reads the rules below the target's root.
    pub(super) fn rules_of(
        &mut self,
        fields: &Fields<'_>,
        target: Option<&Root>,
    ) -> Option<Layout> {
        let rules = fields.tables("rules", self.problems);
        if rules.is_empty() {
            let help = "add rules = [ { to = \"…\", from = \"…\" } ]";
            self.problems.error(self.file, fields.key_span("rules"), "there are no rules", help);
        }
        // Without a target the rules are read all the same, to tell all mistakes at once.
        let tag = Tag {
            name: target.map_or_else(Box::default, |target| target.name.clone()),
            namespace: Some(target.map_or_else(Box::default, |target| target.namespace.clone())),
            fixed: None,
        };
        let block = self.block(&rules, &Surroundings::default(), tag);
        target.map(|_| Layout { alarm: Alarm::new(&block), block })
    }

    fn block(&mut self, rules: &[Fields<'_>], around: &Surroundings<'_>, tag: Tag) -> Block {
        let mut block = Block::default();
        let mut outline = Outline::new();
        for fields in rules {
            self.order += 1;
            if fields.has("each") {
                self.group(fields, around, &mut block, &mut outline);
            } else {
                self.rule(fields, around, &mut block, &mut outline);
            }
        }
        block.steps = outline.into_steps(tag);
        block
    }

    fn rule(
        &mut self,
        fields: &Fields<'_>,
        around: &Surroundings<'_>,
        block: &mut Block,
        outline: &mut Outline,
    ) {
        fields.check_keys(RULE_KEYS, self.problems);
        check::combinations(fields, self.problems);
        let to = fields.required_text("to", self.problems);
        let given = self.given(fields, around);
        let finish = self.finish(fields);
        let when = self.conditions(fields, "when", around.source);
        let default = fields.text("default", self.problems);
        if let Some(default) = &default {
            check::default(self.file, default, &finish, self.problems);
        }
        let pick = match self.word(fields, "pick", &["only", "first", "last"]) {
            Some("first") => Pick::First,
            Some("last") => Pick::Last,
            Some(_) | None => Pick::Only,
        };
        let required = fields.flag("required", self.problems);
        let keep_empty = fields.flag("keep_empty", self.problems);
        let (Some(to), Some(given)) = (to, given) else { return };
        if let (Given::Const(text), Some(length)) = (&given, finish.length) {
            check::constant(fields, text, length, self.problems);
        }
        let Some(path) = self.target_path(&to) else { return };
        let rules = &block.rules;
        let entered = outline.add_rule(&path, rules.len(), |rule| !rules[rule].when.is_empty());
        if let Err(clash) = entered {
            self.clash(&to, clash);
        }
        block.rules.push(Rule {
            order: self.order,
            to: around.shown(to.value).into(),
            given,
            pick,
            when,
            default: default.map(|default| default.value.into()),
            required,
            keep_empty,
            finish,
        });
    }

    fn group(
        &mut self,
        fields: &Fields<'_>,
        around: &Surroundings<'_>,
        block: &mut Block,
        outline: &mut Outline,
    ) {
        fields.check_keys(&["each", "to", "when", "rules"], self.problems);
        if around.depth >= NESTING_MAX {
            let message = format!("'each' stands inside {NESTING_MAX} others");
            let help = "a message is nested less deep; use a longer path";
            self.problems.error(self.file, fields.key_span("each"), message, help);
            return;
        }
        let to = fields.required_text("to", self.problems);
        let each = fields.text("each", self.problems);
        let source = each.and_then(|each| self.place(&each, around.source));
        let (Some(to), Some(source)) = (to, source) else { return };
        let when = self.conditions(fields, "when", Some(&source));
        let Some(path) = self.target_path(&to) else { return };
        if let Err(clash) = outline.add_group(&path, block.groups.len()) {
            self.clash(&to, clash);
        }
        let Some(last) = path.segments.last() else { return };
        let inside = Surroundings {
            source: Some(&source),
            target: around.shown(to.value),
            depth: around.depth + 1,
        };
        let rules = fields.tables("rules", self.problems);
        let inner = self.block(&rules, &inside, Tag::of(last));
        block.groups.push(Group { source, when, block: inner });
    }

    fn given(&mut self, fields: &Fields<'_>, around: &Surroundings<'_>) -> Option<Given> {
        if let Some(constant) = fields.text("const", self.problems) {
            return Some(Given::Const(constant.value.into()));
        }
        if let Some(texts) = fields.texts("concat", self.problems) {
            let separator = fields.text("separator", self.problems);
            let separator = separator.map_or(" ", |separator| separator.value).into();
            let sources = self.sources(&texts, around.source)?;
            return Some(Given::Concat { sources, separator });
        }
        let texts = fields.texts("from", self.problems)?;
        self.sources(&texts, around.source).map(Given::From)
    }

    pub(super) fn sources(
        &mut self,
        texts: &[Text<'_>],
        base: Option<&Source>,
    ) -> Option<Vec<Source>> {
        // All of them are read before one that is wrong ends it.
        let sources: Vec<_> = texts.iter().map(|text| self.source(text, base)).collect();
        sources.into_iter().collect()
    }

    /// Reads the path of a value and makes it a place in the tree.
    pub(super) fn source(&mut self, text: &Text<'_>, base: Option<&Source>) -> Option<Source> {
        let source = self.place(text, base)?;
        self.tree.keep_text(source.node);
        Some(source)
    }

    /// Reads the path of elements that have others inside; what text stands between those is not
    /// asked for.
    pub(super) fn place(&mut self, text: &Text<'_>, base: Option<&Source>) -> Option<Source> {
        let path = text.path(self.file, self.problems)?;
        let source = self.tree.add(&path, base);
        if source.tests.len() > CHOICES_MAX {
            let message = format!("a path has at most {CHOICES_MAX} choices");
            self.problems.error(
                self.file,
                text.span.clone(),
                message,
                "choose with fewer children",
            );
        }
        if let Some(known) = self.known_paths
            && !known.contains(&&*source.shown)
        {
            let help = match nearest(&source.shown, known) {
                Some(path) => format!("did you mean '{path}'?"),
                None => format!("known paths are {}", known.join(", ")),
            };
            let message = format!("nothing has the path '{}'", source.shown);
            self.problems.error(self.file, text.span.clone(), message, help);
        }
        Some(source)
    }

    fn target_path(&mut self, to: &Text<'_>) -> Option<super::path::Path> {
        let path = to.path(self.file, self.problems)?;
        let attribute = path.segments.iter().any(|segment| segment.name.starts_with('@'));
        if path.absolute || attribute {
            let message = format!("'{}' is no target path", to.value);
            let help = "a target path names elements, from the root's children on";
            self.problems.error(self.file, to.span.clone(), message, help);
            return None;
        }
        Some(path)
    }

    fn clash(&mut self, to: &Text<'_>, clash: Clash) {
        let (message, help) = match clash {
            Clash::Taken => (
                format!("two rules for '{}'", to.value),
                "keep one of them, or give each but the last a 'when'",
            ),
            Clash::LeafAndGroup => (
                format!("'{}' would be both a value and a group of elements", to.value),
                "give one of them another path",
            ),
        };
        self.problems.error(self.file, to.span.clone(), message, help);
    }

    /// Reads `{ path = "…", is = "…" }`, or several of them.
    pub(super) fn conditions(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        base: Option<&Source>,
    ) -> Vec<Condition> {
        let tables = fields.tables(key, self.problems);
        tables.iter().filter_map(|condition| self.condition(condition, base)).collect()
    }

    fn condition(&mut self, fields: &Fields<'_>, base: Option<&Source>) -> Option<Condition> {
        fields.check_keys(&["path", "is", "not", "present"], self.problems);
        let path = fields.required_text("path", self.problems);
        let source = path.and_then(|path| self.source(&path, base));
        let asked = ["is", "not", "present"].iter().filter(|key| fields.has(key)).count();
        if asked != 1 {
            let message = "a condition asks one thing";
            let help = "write is = \"…\", not = \"…\" or present = true beside the path";
            self.problems.error(self.file, fields.span.clone(), message, help);
            return None;
        }
        let words = |texts: Vec<Text<'_>>| texts.iter().map(|text| text.value.into()).collect();
        let holds = if fields.has("is") {
            Holds::Is(words(fields.texts("is", self.problems)?))
        } else if fields.has("not") {
            Holds::Not(words(fields.texts("not", self.problems)?))
        } else if fields.flag("present", self.problems) {
            Holds::Present
        } else {
            Holds::Absent
        };
        Some(Condition { source: source?, holds })
    }

    fn finish(&mut self, fields: &Fields<'_>) -> Finish {
        let trim = match self.word(fields, "trim", &["both", "start", "end", "none"]) {
            Some("start") => Trim::Start,
            Some("end") => Trim::End,
            Some("none") => Trim::None,
            Some(_) | None => Trim::Both,
        };
        let length = check::length(fields, self.problems);
        let map = fields.text("map", self.problems).and_then(|name| self.map(&name, length));
        let form = self.form(fields);
        let pad = check::pad(fields, self.problems);
        Finish { trim, map, form, pad, length }
    }

    pub(super) fn map(
        &mut self,
        name: &Text<'_>,
        length: Option<super::values::Length>,
    ) -> Option<Arc<ValueMap>> {
        if let Some(map) = self.maps.used(self.folder, name.value, length) {
            return Some(map);
        }
        let names = self.maps.names(self.folder);
        let help = match nearest(name.value, &names) {
            Some(known) => format!("did you mean '{known}'?"),
            None => format!("make the file maps/{}.toml", name.value),
        };
        let message = format!("there is no map '{}'", name.value);
        self.problems.error(self.file, name.span.clone(), message, help);
        None
    }

    fn form(&mut self, fields: &Fields<'_>) -> Form {
        check::form(fields, self.problems).unwrap_or(Form::Text)
    }

    /// Reads one of a few words.
    fn word(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        words: &[&'static str],
    ) -> Option<&'static str> {
        check::word(fields, key, words, self.problems)
    }
}

/// The groups around a rule.
#[derive(Default)]
struct Surroundings<'s> {
    source: Option<&'s Source>,
    target: String,
    depth: usize,
}

impl Surroundings<'_> {
    fn shown(&self, to: &str) -> String {
        if self.target.is_empty() { to.to_owned() } else { format!("{}/{to}", self.target) }
    }
}
