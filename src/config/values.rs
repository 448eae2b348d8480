//! The kinds of values that settings have.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// A length of time: `"500ms"`, `"10s"`, `"15m"`, `"4h"`, `"2d"`… Zero may be written `0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(SignedDuration);

impl Span {
    /// So many seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(SignedDuration::from_secs(secs))
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(SignedDuration::from_millis(millis))
    }

    /// For arithmetic on timestamps.
    pub fn signed(self) -> SignedDuration {
        self.0
    }

    /// For timers.
    pub fn unsigned(self) -> Duration {
        self.0.unsigned_abs()
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
        let duration = match days {
            Some(days) => days.checked_mul(24).and_then(SignedDuration::try_from_hours),
            None => SignedDuration::from_str(text).ok(),
        };
        match duration {
            Some(duration) if !duration.is_negative() => Ok(Self(duration)),
            Some(_) | None => {
                Err(format!("found '{text}', expected a time such as \"500ms\", \"10s\", \"15m\""))
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"500ms\", \"10s\", \"15m\", or 0")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        Span::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Span, E> {
        if number == 0 {
            return Ok(Span::from_secs(0));
        }
        Err(E::custom(format!("found {number} without a unit, expected for example \"{number}s\"")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Span, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// How long to wait, or `"never"` to give up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// So long; zero means not at all.
    For(Span),
    /// For ever.
    Never,
}

impl Serialize for Patience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(span) => span.serialize(serializer),
            Self::Never => serializer.serialize_str("never"),
        }
    }
}

impl<'de> Deserialize<'de> for Patience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatienceVisitor)
    }
}

struct PatienceVisitor;

impl Visitor<'_> for PatienceVisitor {
    type Value = Patience;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"10m\", 0, or \"never\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Patience, E> {
        if text == "never" {
            return Ok(Patience::Never);
        }
        SpanVisitor.visit_str(text).map(Patience::For)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Patience, E> {
        SpanVisitor.visit_i64(number).map(Patience::For)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Patience, E> {
        SpanVisitor.visit_u64(number).map(Patience::For)
    }
}

/// An address that may hold a password. Shown with the password hidden.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Hides the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself: for the connection, never for a log.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The text, still hidden.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The text with the password replaced.
    pub fn shown(&self) -> String {
        let text = self.expose();
        let Some((scheme, rest)) = text.split_once("://") else { return "***".to_owned() };
        let Some((user, host)) = rest.rsplit_once('@') else { return text.to_owned() };
        let user = user.split(':').next().unwrap_or_default();
        format!("{scheme}://{user}:***@{host}")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
