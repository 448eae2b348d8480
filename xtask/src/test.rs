//! `cargo xtask test`: every test, with a broker to run against.

use std::process::ExitCode;

use xtask::Result;

use crate::run::{cargo, run};
use crate::setup::{Broker, setup, take_amqp_url};

/// Runs `cargo xtask test`. Arguments that it does not know go to `cargo test`.
pub(crate) fn command(mut args: Vec<String>) -> Result<ExitCode> {
    let broker = setup(take_amqp_url(&mut args)?)?;
    let mut test = cargo();
    // A test that misses its broker fails, where otherwise it would leave itself out.
    // With crash points, which no other build has: see `docs/reliability.md`.
    test.args(["test", "--workspace", "--features", "points"])
        .args(&args)
        .env("TIELINE_TEST_REQUIRE", "all");
    if let Broker::Url(url) = broker {
        test.env("TIELINE_TEST_AMQP_URL", url);
    }
    run(&mut test)?;
    Ok(ExitCode::SUCCESS)
}
