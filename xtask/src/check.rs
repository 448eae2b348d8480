//! `cargo xtask check`: what can be said of the code without running it.

use std::fs;
use std::process::{Command, ExitCode};

use xtask::{Error, Result};

use crate::run::{cargo, program, root, run, succeeds, target};
use crate::setup::compose_program;

/// A check that could not be made on this machine, and what would change that.
struct LeftOut(&'static str);

/// What is left out has not failed.
type Check = fn() -> Result<Option<LeftOut>>;

/// Runs `cargo xtask check`: all the checks, also after one has failed.
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = args.first() {
        return Err(Error::new(format!("check: found `{unknown}`, expected no arguments")));
    }
    check()?;
    Ok(ExitCode::SUCCESS)
}

/// Makes every check and names those that failed.
pub(crate) fn check() -> Result<()> {
    let checks: [(&str, Check); 8] = [
        ("format", format),
        ("lints", lints),
        ("crash points", crash_points),
        ("documentation", documentation),
        ("dependencies", dependencies),
        ("advisories", advisories),
        ("spelling", spelling),
        ("compose file", compose_file),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        match check() {
            Ok(None) => {}
            Ok(Some(LeftOut(reason))) => println!("check: {name} left out: {reason}"),
            Err(error) => {
                eprintln!("check: {name} failed: {error}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        println!("check: good");
        Ok(())
    } else {
        Err(Error::new(format!("check: {}", failed.join(", "))))
    }
}

fn format() -> Result<Option<LeftOut>> {
    made(cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result<Option<LeftOut>> {
    // As an argument of clippy and not in RUSTFLAGS: those would rebuild every dependency.
    const DENY: [&str; 3] = ["--", "-D", "warnings"];
    let tested = ["clippy", "--workspace", "--all-targets", "--features", "points"];
    run(cargo().args(tested).args(DENY))?;
    // As it is shipped.
    made(cargo().args(["clippy", "--lib", "--bins"]).args(DENY))
}

/// What is built without the feature has no crash point and nothing planted in it. With the feature
/// there is no optimised build: `src/points.rs` does not compile then.
fn crash_points() -> Result<Option<LeftOut>> {
    run(cargo().args(["build", "--bin", "tieline"]))?;
    let bridge = target().join("debug/tieline");
    let bytes = fs::read(&bridge)
        .map_err(|error| Error::new(format!("read {}: {error}", bridge.display())))?;
    let has = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    if !has("TIELINE__") {
        return Err(Error::new(format!("{}: expected the name of a setting", bridge.display())));
    }
    match ["TIELINE_POINT", "TIELINE_PLANTED", "TIELINE_CLOCK"].into_iter().find(|name| has(name)) {
        Some(name) => Err(Error::new(format!("{}: found {name} in it", bridge.display()))),
        None => Ok(None),
    }
}

fn documentation() -> Result<Option<LeftOut>> {
    made(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"))
}

const NO_DENY: LeftOut = LeftOut("no cargo-deny; `cargo install --locked cargo-deny` installs it");

fn dependencies() -> Result<Option<LeftOut>> {
    if !has_deny() {
        return Ok(Some(NO_DENY));
    }
    made(cargo().args(["deny", "--all-features", "check", "bans", "licenses", "sources"]))
}

/// The advisories are in a database that has to be fetched; being offline is nobody's failure.
fn advisories() -> Result<Option<LeftOut>> {
    if !has_deny() {
        return Ok(Some(NO_DENY));
    }
    if run(cargo().args(["deny", "fetch", "db"])).is_err() {
        return Ok(Some(LeftOut("the advisory database cannot be fetched")));
    }
    made(cargo().args(["deny", "--all-features", "check", "advisories"]))
}

fn has_deny() -> bool {
    succeeds(cargo().args(["deny", "--version"]))
}

fn spelling() -> Result<Option<LeftOut>> {
    if !succeeds(program("typos").arg("--version")) {
        return Ok(Some(LeftOut("no typos; `cargo install --locked typos-cli` installs it")));
    }
    made(&mut program("typos"))
}

fn compose_file() -> Result<Option<LeftOut>> {
    if !root().join("docker-compose.yml").is_file() {
        return Ok(Some(LeftOut("no docker-compose.yml")));
    }
    let Some(compose) = compose_program() else {
        return Ok(Some(LeftOut("no docker compose")));
    };
    made(program(compose[0]).args(&compose[1..]).args(["config", "-q"]))
}

fn made(command: &mut Command) -> Result<Option<LeftOut>> {
    run(command).map(|()| None)
}
