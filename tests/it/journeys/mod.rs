//! Stories from the promise.
