//! Samples: messages beside a mapping, with what is expected of them.

use std::path::Path;

use super::diagnostic::Problems;

/// Checks that every sample says what is expected of it.
pub(super) fn check_names(_samples: &Path, _folder: &str, _problems: &mut Problems) {}
