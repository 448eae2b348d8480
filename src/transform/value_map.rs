//! Value maps: what billing's words are called by asset management.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::check;
use super::diagnostic::{File, Problems};
use super::reading::trimmed;
use super::toml_tree::{self, Fields};
use super::values::{Length, Over};

/// A value map, read from a file of its own.
#[derive(Debug)]
pub(super) struct ValueMap {
    /// The file, as people know it: `maps/sp-type.toml`.
    pub(super) file: Box<str>,
    pub(super) miss: Miss,
    pub(super) entries: HashMap<Box<str>, Box<str>>,
}

/// What becomes of a value that has no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Miss {
    /// The message is refused.
    Refuse,
    /// The value goes through as it is, and is counted.
    Pass,
}

impl ValueMap {
    pub(super) fn get(&self, value: &str) -> Option<&str> {
        self.entries.get(value).map(|entry| &**entry)
    }

    /// What is said about a value without an entry.
    pub(super) fn expected(&self) -> String {
        format!("one of the values in {}, or an entry for it there", self.file)
    }
}

/// The maps of a folder: those of one mapping, and those that all share.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    books: Vec<Book>,
}

#[derive(Debug)]
struct Book {
    /// The mapping's folder; empty for the shared ones.
    folder: String,
    name: String,
    map: Arc<ValueMap>,
    file: File,
    /// The place of the value of each entry.
    places: Vec<(Box<str>, Range<usize>)>,
    uses: Vec<Option<Length>>,
    used_by: Vec<String>,
}

impl Shelf {
    /// Reads `maps/NAME.toml` or `FOLDER/maps/NAME.toml`.
    pub(super) fn add(&mut self, file: &File, problems: &mut Problems) {
        let path = file.name.strip_prefix("maps/").map(|name| ("", name));
        let (folder, name) =
            path.or_else(|| file.name.split_once("/maps/")).unwrap_or(("", &file.name));
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let table = toml_tree::parse(file, problems);
        let fields = Fields::new(file, &table);
        fields.check_keys(&["miss", "entries"], problems);
        let miss = match check::word(&fields, "miss", &["refuse", "pass"], problems) {
            Some("pass") => Miss::Pass,
            Some(_) => Miss::Refuse,
            None => {
                if !fields.has("miss") {
                    let help = "add miss = \"refuse\" or miss = \"pass\"";
                    problems.error(file, 0..0, "'miss' is missing", help);
                }
                Miss::Refuse
            }
        };
        let (entries, places) = read_entries(&fields, problems);
        self.books.push(Book {
            folder: folder.to_owned(),
            name: name.to_owned(),
            map: Arc::new(ValueMap { file: (&*file.name).into(), miss, entries }),
            file: file.clone(),
            places,
            uses: Vec::new(),
            used_by: Vec::new(),
        });
    }

    /// Finds the map that a mapping means by a name: its own, else the shared one.
    pub(super) fn used(
        &mut self,
        folder: &str,
        name: &str,
        length: Option<Length>,
    ) -> Option<Arc<ValueMap>> {
        let own = self.books.iter().position(|book| book.folder == folder && book.name == name);
        let shared =
            || self.books.iter().position(|book| book.folder.is_empty() && book.name == name);
        let at = own.or_else(shared)?;
        let book = &mut self.books[at];
        book.uses.push(length);
        book.used_by.push(folder.to_owned());
        Some(Arc::clone(&book.map))
    }

    pub(super) fn names(&self, folder: &str) -> Vec<&str> {
        let known =
            self.books.iter().filter(|book| book.folder.is_empty() || book.folder == folder);
        known.map(|book| book.name.as_str()).collect()
    }

    /// The files of the maps that a mapping uses.
    pub(super) fn files_of<'s>(&'s self, folder: &'s str) -> impl Iterator<Item = &'s File> {
        let used = self.books.iter().filter(move |book| book.used_by.iter().any(|by| by == folder));
        used.map(|book| &book.file)
    }

    /// Checks what can be said only once all mappings are read: maps that nobody uses, entries
    /// that no rule could deliver.
    pub(super) fn check_uses(&self, problems: &mut Problems) {
        for book in &self.books {
            if book.uses.is_empty() {
                let message = format!("no rule uses the map '{}'", book.name);
                problems.warning(
                    &book.file,
                    0..0,
                    message,
                    "delete it, or use it with map = \"…\"",
                );
            }
            let longest = book.uses.iter().map(|length| match length {
                Some(Length { max, over: Over::Refuse }) => *max,
                Some(Length { over: Over::Truncate, .. }) | None => usize::MAX,
            });
            let Some(longest) = longest.max() else { continue };
            for (key, span) in &book.places {
                let value = book.map.get(key).unwrap_or_default();
                if value.chars().count() > longest {
                    let message = format!("'{value}' is longer than every rule that uses it takes");
                    let help = format!("shorten it to {longest} characters, or raise length there");
                    problems.error(&book.file, span.clone(), message, help);
                }
            }
        }
    }
}

type Entries = HashMap<Box<str>, Box<str>>;
type Places = Vec<(Box<str>, Range<usize>)>;

fn read_entries(fields: &Fields<'_>, problems: &mut Problems) -> (Entries, Places) {
    let (mut entries, mut places) = (Entries::new(), Places::new());
    if !fields.has("entries") {
        let help = "add [entries] and a line \"THEIRS\" = \"OURS\" for each value";
        problems.error(fields.file, 0..0, "'entries' is missing", help);
        return (entries, places);
    }
    let Some(table) = fields.table("entries", problems) else { return (entries, places) };
    for key in table.keys() {
        let bare = trimmed(key.value);
        if bare.is_empty() || bare != key.value {
            let message = format!("no value can match '{}'", key.value);
            let help = if bare.is_empty() {
                "an empty value never reaches a map; use default = \"…\" in the rule".to_owned()
            } else {
                format!("values lose the space around them: write \"{bare}\"")
            };
            problems.error(fields.file, key.span, message, help);
            continue;
        }
        if let Some(value) = table.text(key.value, problems) {
            entries.insert(key.value.into(), value.value.into());
            places.push((key.value.into(), value.span));
        }
    }
    (entries, places)
}
