//! A rule of a mapping, ready to be applied: where a value comes from, what is done with it, where
//! it goes.

use std::borrow::Cow;
use std::sync::Arc;

use super::source::Source;
use super::target::Block;
use super::value_map::{Miss, ValueMap};
use super::values::{BooleanForm, DateForm, Length, NumberForm, Over, Pad, Trim};
use crate::domain::FailureCode;

/// One line of a mapping.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its place in the mapping, which is the order in which defects are told.
    pub(super) order: usize,
    /// The target path as shown to people.
    pub(super) to: Box<str>,
    pub(super) given: Given,
    pub(super) pick: Pick,
    /// All must hold, or the rule gives nothing.
    pub(super) when: Vec<Condition>,
    pub(super) default: Option<Box<str>>,
    pub(super) required: bool,
    /// Writes an empty element where there is no value.
    pub(super) keep_empty: bool,
    pub(super) finish: Finish,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Given {
    /// The first of the sources that has a value.
    From(Vec<Source>),
    /// All sources that have a value, one after the other.
    Concat { sources: Vec<Source>, separator: Box<str> },
    /// Always the same.
    Const(Box<str>),
}

/// Which one is taken where a source has several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pick {
    /// None: that is a defect.
    Only,
    First,
    Last,
}

/// What is asked of a source before a rule applies.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) source: Source,
    pub(super) holds: Holds,
}

#[derive(Debug)]
pub(super) enum Holds {
    /// One of its values is one of these.
    Is(Vec<Box<str>>),
    /// None of its values is one of these.
    Not(Vec<Box<str>>),
    /// It has a value.
    Present,
    /// It has none.
    Absent,
}

/// A repeated group: its rules, applied to every element of the source.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) source: Source,
    pub(super) when: Vec<Condition>,
    pub(super) block: Block,
}

/// What is done with a value, in this order.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) trim: Trim,
    pub(super) map: Option<Arc<ValueMap>>,
    pub(super) form: Form,
    pub(super) pad: Option<Pad>,
    pub(super) length: Option<Length>,
}

/// What kind of value it is.
#[derive(Debug)]
pub(super) enum Form {
    Text,
    Date { read: DateForm, write: DateForm },
    Number(NumberForm),
    Boolean(BooleanForm),
}

/// Why a value does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) code: FailureCode,
    pub(super) expected: String,
}

/// A finished value, and whether a map let it pass.
pub(super) struct Finished<'r> {
    pub(super) value: Cow<'r, str>,
    pub(super) passed: bool,
}

impl Finish {
    /// Does with a value, already trimmed, what the rule says.
    pub(super) fn apply<'r>(&'r self, value: Cow<'r, str>) -> Result<Finished<'r>, Misfit> {
        let mut passed = false;
        let value = match &self.map {
            None => value,
            Some(map) => match map.get(&value) {
                Some(entry) => Cow::Borrowed(entry),
                None if map.miss == Miss::Pass => {
                    passed = true;
                    value
                }
                None => {
                    return Err(Misfit {
                        code: FailureCode::UnmappedValue,
                        expected: map.expected(),
                    });
                }
            },
        };
        let value = self.form.shape(value)?;
        let value = match self.pad {
            Some(pad) => pad.apply(value),
            None => value,
        };
        let value = self.fit(value)?;
        Ok(Finished { value, passed })
    }

    fn fit<'r>(&self, value: Cow<'r, str>) -> Result<Cow<'r, str>, Misfit> {
        let Some(length) = self.length else { return Ok(value) };
        match (length.cut(&value), length.over) {
            (None, _) => Ok(value),
            (Some(at), Over::Truncate) => Ok(cut(value, at)),
            (Some(_), Over::Refuse) => {
                let found = value.chars().count();
                let expected = format!("at most {} characters, not {found}", length.max);
                Err(Misfit { code: FailureCode::TooLong, expected })
            }
        }
    }
}

fn cut(value: Cow<'_, str>, at: usize) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..at]),
        Cow::Owned(mut text) => {
            text.truncate(at);
            Cow::Owned(text)
        }
    }
}

impl Form {
    fn shape<'r>(&'r self, value: Cow<'r, str>) -> Result<Cow<'r, str>, Misfit> {
        let bad = |expected| Misfit { code: FailureCode::BadValue, expected };
        match self {
            Self::Text => Ok(value),
            Self::Number(number) => number.check(&value).map(|()| value).map_err(bad),
            Self::Boolean(boolean) => boolean.shape(&value).map(Cow::Borrowed).map_err(bad),
            Self::Date { read, write } => {
                let moment = read.read(&value).map_err(bad)?;
                // `xs:date` to `xs:date` is a check: the text stays.
                if read == write && *read == DateForm::Date {
                    return Ok(value);
                }
                write.write(&moment).map(Cow::Owned).map_err(|error| bad(error.to_string()))
            }
        }
    }
}
