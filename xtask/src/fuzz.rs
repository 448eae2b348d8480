//! `cargo xtask fuzz`: one fuzz target for as long as it is told, with the release build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use xtask::{Error, Result};

use crate::run::{cargo, run};

const USAGE: &str = "\
usage: cargo xtask fuzz TARGET [--minutes M] [--seed N]

  TARGET       requests, answers, mappings, properties, settings or urls
  --minutes M  how long; 3 unless told
  --seed N     what the mutations follow from; 1 unless told

Runs the corpus of the target (tests/corpus/TARGET), then mutations of it. What is found is made
smaller and kept in the corpus: every test runs it from then on.
";

/// Every target: a test of `tests/it/fuzz/`, in the module named beside it.
const TARGETS: [(&str, &str); 6] = [
    ("requests", "messages"),
    ("answers", "messages"),
    ("mappings", "mappings"),
    ("properties", "properties"),
    ("settings", "settings"),
    ("urls", "settings"),
];

/// Runs `cargo xtask fuzz`.
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    if args.is_empty() || args.iter().any(|arg| ["--help", "-h"].contains(&arg.as_str())) {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::of(args)?;
    let Options { target, module, minutes, seed } = options;
    let running =
        std::env::temp_dir().join(format!("tieline-fuzz-{target}-{}", std::process::id()));
    let mut test = cargo();
    let name = format!("fuzz::{module}::{target}");
    test.args(["test", "--release", "--test", "it", "--", "--exact", &name, "--nocapture"])
        .env("TIELINE_FUZZ_SECONDS", (60 * u64::from(minutes)).to_string())
        .env("TIELINE_FUZZ_SEED", seed.to_string())
        .env("TIELINE_FUZZ_RUNNING", &running);
    let ended = run(&mut test);
    if let Some(kept) = keep(&running, target)? {
        let kept = kept.display();
        eprintln!("xtask: the process died of {kept}; to repeat it: cargo test --test it {name}");
    }
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Moves the input that was at hand to the corpus, if a process left one behind.
fn keep(running: &Path, target: &str) -> Result<Option<PathBuf>> {
    let Ok(input) = fs::read(running) else { return Ok(None) };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let kept = root.join(format!("tests/corpus/{target}/died-{}", std::process::id()));
    let failed = |error| Error::new(format!("keep {}: {error}", kept.display()));
    fs::write(&kept, input).map_err(failed)?;
    fs::remove_file(running).map_err(failed)?;
    Ok(Some(kept))
}

/// What was asked for.
#[derive(PartialEq, Eq, Debug)]
struct Options {
    target: &'static str,
    module: &'static str,
    minutes: u32,
    seed: u32,
}

impl Options {
    fn of(args: &[String]) -> Result<Self> {
        let mut args = args.iter();
        let named = args.next().map(String::as_str).unwrap_or_default();
        let known = TARGETS.into_iter().find(|(target, _)| *target == named);
        let Some((target, module)) = known else {
            return Err(Error::new(format!("fuzz: no target `{named}`\n\n{USAGE}")));
        };
        let mut options = Self { target, module, minutes: 3, seed: 1 };
        while let Some(name) = args.next() {
            let number = args.next().and_then(|value| value.parse().ok());
            match (name.as_str(), number) {
                ("--minutes", Some(minutes)) => options.minutes = minutes,
                ("--seed", Some(seed)) => options.seed = seed,
                _ => {
                    let wrong = format!("fuzz: `{name}`, expected a number behind it\n\n{USAGE}");
                    return Err(Error::new(wrong));
                }
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        Options::of(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_target_is_named_and_has_three_minutes_unless_told() {
        let (target, module) = ("requests", "messages");
        let plain = Options { target, module, minutes: 3, seed: 1 };
        assert_eq!(options("requests").unwrap(), plain);
        let told = Options { minutes: 60, seed: 7, ..plain };
        assert_eq!(options("requests --seed 7 --minutes 60").unwrap(), told);
        for line in ["", "nothing", "urls --minutes", "urls --minutes x", "urls --speed 1"] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
