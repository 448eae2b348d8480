//! The one error of this crate: a text for the person at the terminal.

use std::fmt;

/// A failure, told as one text: which thing, where, what was found and what was expected.
pub struct Error(String);

/// A result whose error is a text for a person.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of its text, which is lower case and fits after "failed: ".
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The text as it is: a failed `unwrap` in a test shows a log's lines as lines.
impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
