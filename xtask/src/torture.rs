//! `cargo xtask torture`: the torture rig at scale, with the bridge as it is shipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use xtask::{Error, Result};

use crate::run::{bridge, build_bridge, cargo, run};
use crate::setup::{Broker, setup};

const USAGE: &str = "\
usage: cargo xtask torture [--seed N] [--minutes M] [--requests N] [--faults N]
                           [--lasting M] [--schedule NAME]… [--binary PATH] [--out FILE]

  --seed N         what contents, answers and faults follow from; 1 unless told
  --minutes M      after a round another with the next seed, until so many are over; one round
                   unless told
  --requests N     messages of a run; 20000 unless told
  --faults N       faults of a run; a thousandth of the messages unless told, 10 at least; of alarm,
                   away and backlog 1 unless told
  --lasting M      for how many minutes a fault of alarm, away or backlog lasts; seconds unless told
  --schedule NAME  kills, network, broker, disk, freeze, cluster, alarm, away or backlog; all of them
                   unless told
  --binary PATH    the bridge to run; built as it is shipped unless told
  --out FILE       the figures of all runs, as JSON
";

/// Every schedule, in the order in which they run.
const SCHEDULES: [&str; 9] =
    ["kills", "network", "broker", "disk", "freeze", "cluster", "alarm", "away", "backlog"];

/// Those of which a fault lasts, and is the only one.
const ENDURANCES: [&str; 3] = ["alarm", "away", "backlog"];

/// Runs `cargo xtask torture`: the rig is a part of the tests (`tests/it/torture`), and each run is
/// one of them, with its scale in the environment.
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    if args.iter().any(|arg| ["--help", "-h"].contains(&arg.as_str())) {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::of(args)?;
    let Broker::Private = setup(None)? else {
        return Err(Error::new("torture: found a shared broker, expected to start private ones"));
    };
    let binary = options.binary()?;
    let figures = Folder::new()?;
    let (start, mut failed) = (Instant::now(), Vec::new());
    for seed in options.seed.. {
        for schedule in &options.schedules {
            if let Err(error) = options.run(schedule, seed, &binary, figures.path()) {
                eprintln!("{error}");
                failed.push(format!("{schedule} with seed {seed}"));
            }
        }
        if start.elapsed() >= options.time {
            break;
        }
    }
    let told = figures.all()?;
    if let Some(out) = &options.out {
        fs::write(out, format!("[\n{}\n]\n", told.join(",\n")))
            .map_err(|error| Error::new(format!("write {}: {error}", out.display())))?;
    }
    // A schedule that the machine does not allow leaves no figures, and is counted as such.
    println!("# {} runs told their figures, {} failed", told.len(), failed.len());
    if failed.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Error::new(format!("torture: a rule was broken by {}", failed.join(", "))))
    }
}

/// What was asked for.
#[derive(PartialEq, Eq, Debug)]
struct Options {
    seed: u32,
    time: Duration,
    requests: u32,
    faults: Option<u32>,
    lasting: u32,
    schedules: Vec<String>,
    binary: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl Options {
    fn of(args: &[String]) -> Result<Self> {
        let (seed, time, requests) = (1, Duration::ZERO, 20_000);
        let (faults, schedules, binary, out) = (None, Vec::new(), None, None);
        let lasting = 0;
        let mut options = Self { seed, time, requests, faults, lasting, schedules, binary, out };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let value = args
                .next()
                .ok_or_else(|| Error::new(format!("torture: `{name}` alone\n\n{USAGE}")))?;
            let number = || {
                value.parse::<u32>().map_err(|_| {
                    Error::new(format!("torture {name}: found `{value}`, expected a number"))
                })
            };
            match name.as_str() {
                "--seed" => options.seed = number()?,
                "--minutes" => options.time = Duration::from_secs(60 * u64::from(number()?)),
                "--requests" => options.requests = number()?.max(1),
                "--faults" => options.faults = Some(number()?),
                "--lasting" => options.lasting = number()?,
                "--schedule" if SCHEDULES.contains(&value.as_str()) => {
                    options.schedules.push(value.clone());
                }
                "--binary" => options.binary = Some(value.into()),
                "--out" => options.out = Some(value.into()),
                _ => return Err(Error::new(format!("torture: `{name} {value}`\n\n{USAGE}"))),
            }
        }
        if options.schedules.is_empty() {
            options.schedules = SCHEDULES.map(str::to_owned).to_vec();
        }
        Ok(options)
    }

    /// The bridge to run.
    fn binary(&self) -> Result<PathBuf> {
        let Some(named) = &self.binary else {
            build_bridge()?;
            return Ok(bridge());
        };
        fs::canonicalize(named)
            .map_err(|error| Error::new(format!("find {}: {error}", named.display())))
    }

    fn run(&self, schedule: &str, seed: u32, binary: &Path, figures: &Path) -> Result<()> {
        let lasts = ENDURANCES.contains(&schedule);
        let usual = if lasts { 1 } else { (self.requests / 1_000).max(10) };
        let faults = self.faults.unwrap_or(usual).max(1);
        let tests = format!("torture::{}{schedule}::", if lasts { "endurance::" } else { "" });
        let mut test = cargo();
        test.args(["test", "--test", "it", &tests, "--", "--nocapture"])
            .env("TIELINE_TEST_REQUIRE", "all")
            .env("TIELINE_TEST_BINARY", binary)
            .env("TIELINE_TEST_REQUESTS", self.requests.to_string())
            .env("TIELINE_TEST_FAULTS", faults.to_string())
            .env("TIELINE_TEST_SEED", seed.to_string())
            .env("TIELINE_TEST_MINUTES", self.lasting.to_string())
            .env("TIELINE_TEST_FIGURES", figures);
        run(&mut test)
    }
}

/// A folder that the runs write their figures to, gone with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tieline-torture-{}", std::process::id()));
        let folder = Self(path);
        fs::create_dir_all(folder.path()).map_err(|error| folder.failed(&error))?;
        Ok(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// The text of every file, by name.
    fn all(&self) -> Result<Vec<String>> {
        let failed = |error| self.failed(&error);
        let files = fs::read_dir(self.path()).map_err(failed)?;
        let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.sort_unstable();
        paths.iter().map(|path| fs::read_to_string(path).map_err(failed)).collect()
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::new(format!("folder for figures {}: {error}", self.path().display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.path()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        Options::of(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_named_means_every_schedule_once() {
        let options = options("").unwrap();
        assert_eq!(options.schedules, SCHEDULES);
        assert_eq!((options.seed, options.time, options.faults), (1, Duration::ZERO, None));
    }

    #[test]
    fn what_is_named_counts() {
        let line = "--schedule disk --schedule kills --minutes 3 --lasting 60 --seed 7";
        let options = options(line).unwrap();
        assert_eq!(options.schedules, ["disk", "kills"]);
        assert_eq!((options.seed, options.time, options.lasting), (7, Duration::from_mins(3), 60));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for line in ["--schedule war", "--seed x", "--seed", "--speed 3"] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
