//! A row: what is sent, made of a good message, and what must come of it.

use lapin::BasicProperties;
use serde_json::Value;

use crate::support::properties;

/// How the bytes of a row are made of the good message.
pub(super) type Make = Box<dyn Fn(&str) -> Vec<u8>>;

/// A row of a table of bad inputs.
pub(super) struct Row {
    pub(super) name: &'static str,
    make: Make,
    pub(super) properties: BasicProperties,
    pub(super) end: End,
}

/// What must come of a row.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// It goes the whole way; the asset location says this there.
    Accepted(&'static str, String),
    /// It is parked.
    Parked { code: &'static str, place: Place, told: Told },
}

/// Whether billing hears a negative reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Billing,
    Nobody,
}

/// Where the first defect must be.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Where these characters stand for the first time in what was sent.
    At(&'static str),
    /// Where they stand for the so-manieth time, counted from 0.
    Nth(&'static str, usize),
    /// At this byte of the good message, which is that of the bad one too.
    Before(&'static str),
    /// Right behind the last character.
    End,
    /// At the first character, for what is wrong as a whole.
    Start,
    /// At this path of the message, in a line that holds these characters.
    Field(&'static str, &'static str),
    /// The broker's word, or another failure that has no place.
    Nowhere,
}

impl Row {
    /// A row with the properties that every message carries here.
    pub(super) fn new(name: &'static str, make: Make, end: End) -> Self {
        Self { name, make, properties: properties(), end }
    }

    /// With other properties.
    pub(super) fn with(mut self, properties: BasicProperties) -> Self {
        self.properties = properties;
        self
    }

    /// The bytes that are sent, made of a good message.
    pub(super) fn bytes(&self, good: &str) -> Vec<u8> {
        (self.make)(good)
    }
}

/// The good message with the first of something replaced.
pub(super) fn put(from: &'static str, to: impl Into<String>) -> Make {
    let to = to.into();
    Box::new(move |good| {
        assert!(good.contains(from), "{from} is not in the good message");
        good.replacen(from, &to, 1).into_bytes()
    })
}

/// The good message with some bytes in front of something.
pub(super) fn insert(before: &'static str, bytes: impl Into<Vec<u8>>) -> Make {
    let bytes = bytes.into();
    Box::new(move |good| {
        let at = good.find(before).unwrap();
        [&good.as_bytes()[..at], &bytes, &good.as_bytes()[at..]].concat()
    })
}

/// The good message up to something, and nothing behind it.
pub(super) fn cut(before: &'static str) -> Make {
    Box::new(move |good| good.as_bytes()[..good.find(before).unwrap()].to_vec())
}

/// The good message with more behind it.
pub(super) fn and(tail: &'static str) -> Make {
    Box::new(move |good| format!("{good}{tail}").into_bytes())
}

/// These bytes, and nothing of the good message.
pub(super) fn bytes(bytes: impl Into<Vec<u8>>) -> Make {
    let bytes = bytes.into();
    Box::new(move |_| bytes.clone())
}

/// Whatever is made of the good message.
pub(super) fn made(make: impl Fn(&str) -> Vec<u8> + 'static) -> Make {
    Box::new(make)
}

/// Parked, and billing is told.
pub(super) fn told(code: &'static str, place: Place) -> End {
    End::Parked { code, place, told: Told::Billing }
}

/// Parked, and nobody is told: who it is about cannot be read.
pub(super) fn untold(code: &'static str, place: Place) -> End {
    End::Parked { code, place, told: Told::Nobody }
}

/// Goes the whole way.
pub(super) fn accepted() -> End {
    End::Accepted("location/bo", "W1-AssetLocation".into())
}

/// Goes the whole way, and the asset location says this there.
pub(super) fn says(path: &'static str, text: &str) -> End {
    End::Accepted(path, text.into())
}

impl Place {
    /// What is wrong with the place of a record's first defect; nothing if it is the right one.
    pub(super) fn check(&self, sent: &[u8], good: &str, error: &Value) -> Option<String> {
        let defect = &error["defects"][0];
        let found = (defect["line"].as_u64(), defect["column"].as_u64());
        let expected = match self {
            Self::Nowhere => {
                return (!defect.is_null()).then(|| format!("a defect: {defect}, expected none"));
            }
            Self::Field(path, needle) => {
                let line = line_and_column(sent, find(sent, needle, 0)).0;
                let right = defect["path"] == *path && defect["line"] == line;
                return (!right).then(|| format!("{defect}, expected {path} in line {line}"));
            }
            Self::At(needle) => line_and_column(sent, find(sent, needle, 0)),
            Self::Nth(needle, count) => line_and_column(sent, find(sent, needle, *count)),
            Self::Before(needle) => {
                line_and_column(good.as_bytes(), find(good.as_bytes(), needle, 0))
            }
            Self::End => line_and_column(sent, sent.len()),
            Self::Start => (1, 1),
        };
        let right = found == (Some(expected.0), Some(expected.1));
        (!right).then(|| format!("{defect}, expected line {}, column {}", expected.0, expected.1))
    }
}

fn find(sent: &[u8], needle: &str, count: usize) -> usize {
    let mut places = memchr::memmem::find_iter(sent, needle);
    let place = places.nth(count);
    assert!(place.is_some(), "'{needle}' does not stand {} times in the message", count + 1);
    place.unwrap()
}

/// Line and column of a byte as people count, from 1 and in characters.
fn line_and_column(sent: &[u8], at: usize) -> (u64, u64) {
    let text = String::from_utf8_lossy(&sent[..at]);
    let lines = text.matches('\n').count();
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count();
    (lines as u64 + 1, column as u64 + 1)
}
