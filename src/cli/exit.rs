//! Exit codes and how errors become them.

use std::process::ExitCode;

use crate::bridge::StoreError;
use crate::config::SettingsError;

/// How a command ended. The numbers are part of the contract with scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// Everything was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Some was done, some was not.
    Partly = 3,
    /// The settings, the topology file or the mappings are wrong.
    Settings = 10,
    /// The broker is not there or refuses.
    Broker = 11,
    /// The store is not there or refuses.
    Store = 12,
    /// The fence: the store is older than what was published from it, or another bridge has taken
    /// over.
    Fence = 13,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error at the edge: what to print, and how to exit.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) exit: Exit,
    pub(super) report: miette::Report,
}

impl Failed {
    /// An error with a help sentence.
    pub(super) fn new(
        exit: Exit,
        message: impl std::fmt::Display,
        help: impl Into<String>,
    ) -> Self {
        Self { exit, report: miette::miette!(help = help.into(), "{message}") }
    }

    /// A wrong command line.
    pub(super) fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, report: miette::miette!("{message}") }
    }
}

impl From<SettingsError> for Failed {
    fn from(error: SettingsError) -> Self {
        Self { exit: Exit::Settings, report: error.into() }
    }
}

/// What an operator's command says when nobody has made the store yet.
pub(super) const NO_STORE: &str = "there is no store";

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            // A cause that the text ends with already says nothing new.
            if !text.ends_with(&cause.to_string()) {
                text = format!("{text}: {cause}");
            }
            source = cause.source();
        }
        if text.ends_with(NO_STORE) {
            return Self::new(
                Exit::Store,
                text,
                "`tieline run` makes it; is this the store of the bridge? setting store.url names it, \
                 and a path without a leading slash begins where you are",
            );
        }
        Self { exit: Exit::Store, report: miette::miette!("{text}") }
    }
}
