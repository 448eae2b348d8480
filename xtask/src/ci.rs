//! `cargo xtask ci`: what has to be good before a change goes in.

use std::process::ExitCode;

use xtask::{Error, Result};

use crate::check::check;
use crate::run::{cargo, run};

/// Runs `cargo xtask ci`: the checks, then the tests, which come last and run in any case, so that
/// their summary is what a log ends with.
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = args.first() {
        return Err(Error::new(format!("ci: found `{unknown}`, expected no arguments")));
    }
    let checked = check();
    // More than a developer waits for: see `docs/reliability.md`, the simulation.
    let tested = run(cargo().args(["xtask", "test"]).env("TIELINE_TEST_SEEDS", "5000"));
    checked.and(tested).map(|()| ExitCode::SUCCESS)
}
