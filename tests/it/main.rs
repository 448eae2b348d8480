//! All tests from outside, in one binary, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;
mod lifecycle;
