//! The command line, as an operator uses it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    /// Runs a command of the binary and waits for its end.
    pub(super) fn of(dir: &Path, settings: &Settings, args: &[&str]) -> Self {
        let output = settings.command(dir).args(args).output().unwrap();
        Self {
            // As a shell tells it: 128 and the signal.
            code: output.status.code().or_else(|| Some(128 + output.status.signal()?)).unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_str(&self.out);
        assert!(read.is_ok(), "expected JSON, found {self:?}");
        read.unwrap()
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code of {self:?}");
        self
    }

    /// Whether all of these words stand in what it printed.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) {
        assert_says(&format!("{}{}", self.out, self.err), words);
    }
}

/// Fails unless the text has all of these words, wherever a terminal's width broke its lines.
#[track_caller]
pub(super) fn assert_says(text: &str, words: &[&str]) {
    let plain = |text: &str| text.replace(|char: char| char.is_whitespace() || char == '│', "");
    for word in words {
        assert!(plain(text).contains(&plain(word)), "expected '{word}' in:\n{text}");
    }
}

/// The binary under test: the one that was built with the tests, or another one, for example as it
/// is shipped.
fn binary() -> OsString {
    let named = std::env::var_os("TIELINE_TEST_BINARY").filter(|path| !path.is_empty());
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_tieline").into())
}

/// The settings of a bridge, by their names in the settings file; and what is no setting and stands
/// in its environment alone, by the name that it has there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn value(&self, name: &str) -> String {
        self.0[name].clone()
    }

    /// The binary with these settings in its environment, and no others.
    pub(super) fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(dir).env("NO_COLOR", "1").env("TZ", "UTC");
        // Too small for headers that are nested deep; it has to see to that itself.
        command.env("RUST_MIN_STACK", "2097152");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIELINE_") {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.0 {
            if name.starts_with("TIELINE_") {
                command.env(name, value);
                continue;
            }
            let name = name.replace('.', "__").to_ascii_uppercase();
            command.env(format!("TIELINE__{name}"), value);
        }
        command
    }
}
