//! What can be fuzzed, and with which inputs it begins.

use std::fs;
use std::path::{Path, PathBuf};

use crate::golden;

/// Something that takes any bytes.
pub(super) struct Target {
    /// Its name: that of its module in the test, of its corpus, and of `cargo xtask fuzz`.
    pub(super) name: &'static str,
    /// Files or folders to begin with, besides the corpus.
    pub(super) samples: &'static [&'static str],
    /// More to begin with.
    pub(super) more: fn() -> Vec<Vec<u8>>,
    /// What stands in such inputs.
    pub(super) tokens: &'static [&'static str],
    /// The longest input that is made, in bytes.
    pub(super) longest: usize,
    /// How many mutations every `cargo test` runs.
    pub(super) mutations: usize,
}

impl Target {
    /// Where what was found is kept.
    pub(super) fn corpus(&self) -> PathBuf {
        golden::path("tests/corpus").join(self.name)
    }

    /// What the target begins with, each with the name to tell it by. Always in the same order.
    pub(super) fn beginning(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        read(&self.corpus(), &mut all);
        for sample in self.samples {
            read(&golden::path(sample), &mut all);
        }
        let more = (self.more)().into_iter().enumerate();
        all.extend(more.map(|(number, bytes)| (format!("example {number}"), bytes)));
        all
    }
}

/// Nothing more to begin with.
pub(super) fn none() -> Vec<Vec<u8>> {
    Vec::new()
}

fn read(path: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    if path.is_file() {
        all.push((path.display().to_string(), fs::read(path).unwrap()));
        return;
    }
    let mut paths: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        read(path, all);
    }
}
