//! Recorded texts: compared with what the code does today, or recorded anew with
//! `UPDATE_GOLDENFILES=1`, for the reviewer to read.

use std::fs;
use std::path::{Path, PathBuf};

/// A path in the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The text of a file in the repository.
pub(crate) fn read(relative: &str) -> String {
    let path = path(relative);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display())).unwrap()
}

/// The names in a folder of the repository, sorted.
pub(crate) fn names(folder: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Compares a file with what it should say; tells how it differs, or records it.
pub(crate) fn compare(relative: &str, wanted: &str) -> Result<(), String> {
    let found = read(relative);
    if found == wanted {
        return Ok(());
    }
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(path(relative), wanted).unwrap();
        return Ok(());
    }
    let differs = wanted.lines().zip(found.lines()).position(|(wanted, found)| wanted != found);
    let line = differs.unwrap_or_else(|| wanted.lines().count().min(found.lines().count()));
    Err(format!(
        "{relative}, line {}: recorded '{}', now '{}'\n\
         (UPDATE_GOLDENFILES=1 records what the code does now)",
        line + 1,
        found.lines().nth(line).unwrap_or("the end"),
        wanted.lines().nth(line).unwrap_or("the end"),
    ))
}
