//! `cargo xtask bench`: the bridge beside what the same broker does without it, in figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use xtask::{Error, Result};

use crate::run::{bridge, build_bridge, cargo, run};
use crate::setup::{Broker, setup};

/// Runs `cargo xtask bench [SCENARIO…] [ARGS]`; arguments go to the benchmark
/// (`benches/bridge/arguments.rs`).
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let Broker::Private = setup(None)? else {
        return Err(Error::new("bench: found a shared broker, expected to start a private one"));
    };
    let mut bench = cargo();
    bench.args(["bench", "--bench", "bridge", "--"]);
    if !args.iter().any(|arg| arg == "--binary" || arg.starts_with("--binary=")) {
        build_bridge()?;
        bench.arg("--binary").arg(set_aside()?);
    }
    run(bench.args(args))?;
    Ok(ExitCode::SUCCESS)
}

/// Copies the bridge as it is shipped out of cargo's way: the build of the benchmark puts another
/// one in its place, with the features that its own dependencies ask for.
fn set_aside() -> Result<PathBuf> {
    let shipped = bridge();
    let aside = shipped.ancestors().nth(2).unwrap_or(Path::new("target")).join("bench/tieline");
    let failed = |error| Error::new(format!("copy the bridge to {}: {error}", aside.display()));
    fs::create_dir_all(aside.parent().unwrap_or(&aside)).map_err(failed)?;
    fs::copy(&shipped, &aside).map_err(failed)?;
    Ok(aside)
}
