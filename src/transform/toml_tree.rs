//! TOML with places: tables whose keys are asked for by name and kind, and that report what is
//! wrong where it stands.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{File, Problems};
use super::path::Path;

/// A table of a TOML file.
#[derive(Clone)]
pub(super) struct Fields<'t> {
    pub(super) file: &'t File,
    table: &'t DeTable<'t>,
    pub(super) span: Range<usize>,
}

/// A string with its place.
#[derive(Clone, Debug)]
pub(super) struct Text<'t> {
    pub(super) value: &'t str,
    pub(super) span: Range<usize>,
}

type Value<'t> = toml::Spanned<DeValue<'t>>;

/// Parses a file; mistakes of syntax are reported, and what could be read is given all the same.
pub(super) fn parse<'t>(file: &'t File, problems: &mut Problems) -> toml::Spanned<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let help = if error.message().contains("duplicate key") {
            "each key stands once; delete one of the two"
        } else {
            "see https://toml.io for the syntax"
        };
        problems.error(file, span, error.message(), help);
    }
    table
}

impl<'t> Fields<'t> {
    pub(super) fn new(file: &'t File, table: &'t toml::Spanned<DeTable<'t>>) -> Self {
        Self { file, table: table.get_ref(), span: table.span() }
    }

    fn find(
        &self,
        key: &str,
    ) -> Option<(&'t toml::Spanned<toml::de::DeString<'t>>, &'t Value<'t>)> {
        self.table.iter().find(|(name, _)| name.get_ref() == key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The place of a key, or of the table if it has no such key.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.find(key).map_or_else(|| self.span.clone(), |(name, _)| name.span())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Text<'t>> + use<'t> {
        self.table.keys().map(|key| Text { value: key.get_ref(), span: key.span() })
    }

    /// Reports keys that nobody asks for.
    pub(super) fn check_keys(&self, known: &[&str], problems: &mut Problems) {
        for key in self.keys().filter(|key| !known.contains(&key.value)) {
            let help = match nearest(key.value, known) {
                Some(word) => format!("did you mean '{word}'?"),
                None => format!("known keys are {}", known.join(", ")),
            };
            problems.error(self.file, key.span, format!("unknown key '{}'", key.value), help);
        }
    }

    pub(super) fn text(&self, key: &str, problems: &mut Problems) -> Option<Text<'t>> {
        let (_, value) = self.find(key)?;
        let text = as_text(value);
        if text.is_none() {
            self.wrong_kind(key, value, "a string in quotes", problems);
        }
        text
    }

    pub(super) fn required_text(&self, key: &str, problems: &mut Problems) -> Option<Text<'t>> {
        if !self.has(key) {
            let span = self.span.start..self.span.start;
            problems.error(
                self.file,
                span,
                format!("'{key}' is missing"),
                format!("add {key} = \"…\""),
            );
            return None;
        }
        self.text(key, problems)
    }

    /// One string or several.
    pub(super) fn texts(&self, key: &str, problems: &mut Problems) -> Option<Vec<Text<'t>>> {
        let (_, value) = self.find(key)?;
        let texts = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(as_text).collect(),
            _ => as_text(value).map(|text| vec![text]),
        };
        if texts.as_ref().is_none_or(Vec::is_empty) {
            self.wrong_kind(key, value, "a string or an array of strings", problems);
            return None;
        }
        texts
    }

    pub(super) fn flag(&self, key: &str, problems: &mut Problems) -> bool {
        match self.find(key).map(|(_, value)| (value, value.get_ref())) {
            None => false,
            Some((_, DeValue::Boolean(flag))) => *flag,
            Some((value, _)) => {
                self.wrong_kind(key, value, "true or false", problems);
                false
            }
        }
    }

    /// A whole number from `min` on.
    pub(super) fn count(&self, key: &str, min: usize, problems: &mut Problems) -> Option<usize> {
        let (_, value) = self.find(key)?;
        let count = match value.get_ref() {
            DeValue::Integer(number) => usize::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let count = count.filter(|count| *count >= min);
        if count.is_none() {
            self.wrong_kind(key, value, &format!("a whole number from {min} on"), problems);
        }
        count
    }

    pub(super) fn decimal(&self, key: &str, problems: &mut Problems) -> Option<f64> {
        let (_, value) = self.find(key)?;
        let number: Option<f64> = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong_kind(key, value, "a number", problems);
        }
        number
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        matches!(self.find(key), Some((_, value)) if matches!(value.get_ref(), DeValue::Boolean(true)))
    }

    pub(super) fn is_text(&self, key: &str) -> bool {
        self.find(key).is_some_and(|(_, value)| as_text(value).is_some())
    }

    pub(super) fn table(&self, key: &str, problems: &mut Problems) -> Option<Fields<'t>> {
        let (name, value) = self.find(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_kind(key, value, "a table", problems);
            return None;
        };
        // A table that dotted keys make has no place of its own.
        let span = if value.span().is_empty() { name.span() } else { value.span() };
        Some(Fields { file: self.file, table, span })
    }

    /// An array of tables, or a single one.
    pub(super) fn tables(&self, key: &str, problems: &mut Problems) -> Vec<Fields<'t>> {
        let Some((_, value)) = self.find(key) else { return Vec::new() };
        let items: &[Value<'t>] = match value.get_ref() {
            DeValue::Array(items) => items,
            _ => std::slice::from_ref(value),
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => {
                    tables.push(Fields { file: self.file, table, span: item.span() });
                }
                _ => self.wrong_kind(key, item, "a table in braces", problems),
            }
        }
        tables
    }

    fn wrong_kind(&self, key: &str, value: &Value<'_>, expected: &str, problems: &mut Problems) {
        let found = kind(value.get_ref());
        let message = format!("'{key}' is {found}, not {expected}");
        problems.error(self.file, value.span(), message, format!("write {key} as {expected}"));
    }
}

impl Text<'_> {
    /// Reads the text as a path; a mistake is shown at its place inside the quotes.
    pub(super) fn path(&self, file: &File, problems: &mut Problems) -> Option<Path> {
        match Path::parse(self.value) {
            Ok(path) => Some(path),
            Err(error) => {
                let quoted = self.span.len() == self.value.len() + 2;
                let at = self.span.start + if quoted { error.at + 1 } else { 0 };
                let span = at..at + 1;
                let help = "a path is written a/b/c, a/b[child=value]/c or a/b/@attribute";
                problems.error(
                    file,
                    span,
                    format!("'{}' is no path: {}", self.value, error.message),
                    help,
                );
                None
            }
        }
    }
}

fn as_text<'t>(value: &'t Value<'t>) -> Option<Text<'t>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Text { value: text, span: value.span() }),
        _ => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The known word that was probably meant.
pub(super) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let scored = known.iter().map(|candidate| (distance(word, candidate), *candidate));
    scored.filter(|(distance, _)| *distance <= 2).min().map(|(_, candidate)| candidate)
}

/// The number of letters to change, add or take away.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
