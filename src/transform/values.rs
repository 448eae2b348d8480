//! Typed values: dates, numbers, booleans, lengths. Each takes text and gives text, or says what it
//! expected.

use std::borrow::Cow;

use jiff::civil;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::Offset;

use super::reading::{trimmed, trimmed_end, trimmed_start};

/// What white space is taken off a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trim {
    Both,
    Start,
    End,
    None,
}

impl Trim {
    pub(super) fn apply(self, text: &str) -> &str {
        match self {
            Self::Both => trimmed(text),
            Self::Start => trimmed_start(text),
            Self::End => trimmed_end(text),
            Self::None => text,
        }
    }
}

/// How a date is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum DateForm {
    /// `2025-03-12`, as `xs:date`.
    Date,
    /// `2025-03-14T02:11:09-05:00`, as `xs:dateTime` with its zone.
    DateTime,
    /// With `%` letters as in `strftime`.
    Pattern(Box<str>),
}

/// A date, with the offset from universal time if one was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    civil: civil::DateTime,
    offset: Option<Offset>,
}

impl DateForm {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "date" => Ok(Self::Date),
            "dateTime" => Ok(Self::DateTime),
            pattern if pattern.contains('%') => {
                let form = Self::Pattern(pattern.into());
                let date = civil::date(2025, 12, 31).at(23, 59, 58, 0);
                let sample = Moment { civil: date, offset: Some(Offset::UTC) };
                let written = form.write(&sample).map_err(|error| error.to_string())?;
                form.read(&written)?;
                Ok(form)
            }
            other => Err(format!("'{other}' is no date format")),
        }
    }

    /// Reads a date that exists in the calendar, or says what was expected.
    pub(super) fn read(&self, text: &str) -> Result<Moment, String> {
        match self {
            Self::Date => read_date(text)
                .ok_or_else(|| "a date of the calendar such as 2025-03-12".to_owned()),
            Self::DateTime => read_date_time(text).ok_or_else(|| {
                "a date and time with its zone such as 2025-03-14T02:11:09-05:00".to_owned()
            }),
            Self::Pattern(pattern) => read_pattern(pattern, text)
                .ok_or_else(|| format!("a date of the calendar written as {pattern}")),
        }
    }

    pub(super) fn write(&self, moment: &Moment) -> Result<String, jiff::Error> {
        match self {
            Self::Date => Ok(moment.civil.date().to_string()),
            Self::DateTime => match moment.offset {
                None => Ok(moment.civil.to_string()),
                Some(Offset::UTC) => Ok(format!("{}Z", moment.civil)),
                Some(offset) => {
                    let zoned = moment.civil.to_zoned(offset.to_time_zone())?;
                    strtime::format("%:z", &zoned).map(|offset| format!("{}{offset}", moment.civil))
                }
            },
            Self::Pattern(pattern) => match moment.offset {
                Some(offset) => {
                    let zoned = moment.civil.to_zoned(offset.to_time_zone())?;
                    BrokenDownTime::from(&zoned).to_string(pattern.as_bytes())
                }
                None => BrokenDownTime::from(moment.civil).to_string(pattern.as_bytes()),
            },
        }
    }
}

impl Moment {
    /// The point in time, if the offset is known.
    pub(super) fn timestamp(&self) -> Option<jiff::Timestamp> {
        self.offset?.to_timestamp(self.civil).ok()
    }
}

/// `YYYY-MM-DD`, and nothing that only looks like it.
fn read_date(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    let year: i16 = text[..4].parse().ok()?;
    let date = civil::Date::new(year, text[5..7].parse().ok()?, text[8..].parse().ok()?).ok()?;
    (year > 0).then(|| Moment { civil: date.at(0, 0, 0, 0), offset: None })
}

/// `YYYY-MM-DDThh:mm:ss`, a fraction if there is one, and the zone.
fn read_date_time(text: &str) -> Option<Moment> {
    let (date, rest) = text.split_once('T')?;
    let day = read_date(date)?.civil.date();
    let (offset, clock) = split_zone(rest)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = clock.split(':');
    let mut part = |max: i8| {
        let text = parts.next().filter(|text| text.len() == 2 && digits(text))?;
        text.parse::<i8>().ok().filter(|value| *value <= max)
    };
    let (hour, minute, second) = (part(23)?, part(59)?, part(59)?);
    if parts.next().is_some() || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanosecond = (0..9).fold(0, |sum, at| {
        let digit = fraction.as_bytes().get(at).map_or(0, |byte| byte - b'0');
        sum * 10 + i32::from(digit)
    });
    Some(Moment { civil: day.at(hour, minute, second, nanosecond), offset: Some(offset) })
}

/// Takes `Z` or `±hh:mm` off the end.
fn split_zone(text: &str) -> Option<(Offset, &str)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((Offset::UTC, clock));
    }
    let (clock, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let sign = match zone.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i32>().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if minutes > 59 || hours * 60 + minutes > 14 * 60 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok().map(|offset| (offset, clock))
}

fn read_pattern(pattern: &str, text: &str) -> Option<Moment> {
    if !text.is_ascii() || text.contains(":60") {
        return None;
    }
    let parsed = strtime::parse(pattern, text).ok()?;
    let date = parsed.to_date().ok()?;
    let time = parsed.to_time().unwrap_or_default();
    Some(Moment { civil: date.to_datetime(time), offset: parsed.offset() })
}

/// What numbers are taken.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct NumberForm {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    /// How many digits after the point; none allows any.
    pub(super) decimals: Option<usize>,
}

impl NumberForm {
    /// Checks a plain decimal number: ASCII digits, a point, a minus sign. No exponent, no `NaN`,
    /// no leading zeros.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let plain = numeric(whole)
            && numeric(fraction)
            && (1..=18).contains(&whole.len())
            && fraction.len() <= 18
            && (whole.len() == 1 || !whole.starts_with('0'))
            && !digits.ends_with('.');
        let short = self.decimals.is_none_or(|decimals| fraction.len() <= decimals);
        let value: Option<f64> = text.parse().ok().filter(|_| plain && short);
        let inside = value.is_some_and(|value| {
            self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
        });
        if inside { Ok(()) } else { Err(self.expected()) }
    }

    fn expected(&self) -> String {
        let what = match self.decimals {
            Some(0) => "a whole number".to_owned(),
            Some(decimals) => {
                format!("a decimal number with at most {decimals} digits after the point")
            }
            None => "a decimal number".to_owned(),
        };
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
            (Some(min), None) => format!("{what} of at least {min}"),
            (None, Some(max)) => format!("{what} of at most {max}"),
            (None, None) => what,
        }
    }
}

/// How true and false are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BooleanForm {
    pub(super) yes: Box<str>,
    pub(super) no: Box<str>,
}

impl BooleanForm {
    pub(super) fn shape(&self, text: &str) -> Result<&str, String> {
        match text {
            "true" | "1" | "Y" => Ok(&self.yes),
            "false" | "0" | "N" => Ok(&self.no),
            _ => Err("true or false, 1 or 0, Y or N".to_owned()),
        }
    }
}

/// Characters put in front of or behind a value that is too short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pad {
    pub(super) length: usize,
    pub(super) with: char,
    pub(super) left: bool,
}

impl Pad {
    pub(super) fn apply<'r>(&self, value: Cow<'r, str>) -> Cow<'r, str> {
        let missing = self.length.saturating_sub(value.chars().count());
        if missing == 0 {
            return value;
        }
        let padding: String = std::iter::repeat_n(self.with, missing).collect();
        Cow::Owned(if self.left { padding + &value } else { value.into_owned() + &padding })
    }
}

/// How many characters a value may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Length {
    pub(super) max: usize,
    pub(super) over: Over,
}

/// What becomes of a value that is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    Refuse,
    Truncate,
}

impl Length {
    /// Where to cut the value, if it is too long.
    pub(super) fn cut(&self, value: &str) -> Option<usize> {
        // A character has at least one byte.
        if value.len() <= self.max {
            return None;
        }
        value.char_indices().nth(self.max).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_stands_in_the_calendar() {
        for good in ["2024-02-29", "0001-01-01", "9999-12-31"] {
            assert!(DateForm::Date.read(good).is_ok(), "{good}");
        }
        for wrong in [
            "0000-00-00",
            "0000-01-01",
            "2025-02-29",
            "99999-01-01",
            "2025-3-12",
            "२०२५-03-12",
            "2025-03-12Z",
            "",
        ] {
            assert!(DateForm::Date.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_point_in_time_has_its_zone_and_no_leap_second() {
        for good in
            ["2025-03-14T02:11:09-05:00", "2025-03-14T02:11:09Z", "2025-03-14T23:59:59.123+14:00"]
        {
            assert!(DateForm::DateTime.read(good).is_ok(), "{good}");
        }
        for wrong in [
            "2025-03-14T02:11:09",
            "2016-12-31T23:59:60Z",
            "2025-03-14T24:00:00Z",
            "2025-03-14",
            "2025-03-14T02:11Z",
            "2025-03-14T02:11:09+15:00",
            "2025-03-14T02:11:09é00",
        ] {
            assert!(DateForm::DateTime.read(wrong).is_err(), "{wrong}");
        }
        let moment = DateForm::DateTime.read("2025-03-14T02:11:09-05:00").unwrap();
        assert_eq!(moment.timestamp().unwrap().to_string(), "2025-03-14T07:11:09Z");
        assert_eq!(DateForm::DateTime.write(&moment).unwrap(), "2025-03-14T02:11:09-05:00");
    }

    #[test]
    fn a_date_pattern_is_tried_when_it_is_read() {
        let form = DateForm::parse("%d.%m.%Y").unwrap();
        let moment = form.read("31.12.2025").unwrap();
        assert_eq!(DateForm::Date.write(&moment).unwrap(), "2025-12-31");
        assert!(form.read("31.02.2025").is_err());
        for wrong in ["dd.mm.yyyy", "%Q%J", "%H"] {
            assert!(DateForm::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_is_plain() {
        let latitude = NumberForm { min: Some(-90.0), max: Some(90.0), decimals: None };
        for good in ["42.694634", "-90", "0", "-0.5", "90.000"] {
            assert!(latitude.check(good).is_ok(), "{good}");
        }
        for wrong in [
            "NaN", "INF", "1e999", "1e1", "+0", "१", "042", "90.1", ".5", "5.", "-", "", "--1",
            "1_0",
        ] {
            assert!(latitude.check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_is_cut_between_characters() {
        let length = Length { max: 2, over: Over::Truncate };
        assert_eq!(length.cut("äöü"), Some(4));
        assert_eq!(length.cut("äö"), None);
    }
}
