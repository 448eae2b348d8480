//! `cargo xtask rabbitmq4 DIR`: a RabbitMQ 4 beside the machine's own, for the tests to run on.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use xtask::broker::Install;
use xtask::{Error, Result, is_root};

use crate::run::succeeds;

const USAGE: &str = "\
usage: cargo xtask rabbitmq4 DIR [--suite NAME] [--mirror URL]

  makes a small Debian with RabbitMQ in DIR, which must not be there yet or be one already; the tests
  run on it with TIELINE_TEST_RABBITMQ_ROOT=DIR in their environment, as root

  --suite NAME     the release to take it from; trixie unless told, which has RabbitMQ 4.0
  --mirror URL     where to fetch it; http://deb.debian.org/debian unless told
";

const SCRIPT: &str = include_str!("rabbitmq4.sh");

/// Runs `cargo xtask rabbitmq4`.
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    if args.iter().any(|arg| ["--help", "-h"].contains(&arg.as_str())) {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::of(args)?;
    let dir = std::path::absolute(&options.dir)
        .map_err(|error| Error::new(format!("rabbitmq4 {}: {error}", options.dir.display())))?;
    let shown = dir.display();
    if !dir.exists() {
        may_build()?;
        println!("rabbitmq4: making {shown} of {} from {}", options.suite, options.mirror);
        build(&dir, &options)?;
    }
    Install::in_root(&dir)?;
    println!("rabbitmq4: {shown} is there; TIELINE_TEST_RABBITMQ_ROOT={shown} makes tests use it");
    Ok(ExitCode::SUCCESS)
}

/// Says what is missing before anything is begun.
fn may_build() -> Result<()> {
    if !is_root() {
        return Err(Error::new(
            "rabbitmq4: found another user, expected root: a system is made and entered by root only",
        ));
    }
    if !succeeds(Command::new("debootstrap").arg("--version")) {
        return Err(Error::new(
            "rabbitmq4: found no debootstrap, expected one in PATH; \
             `apt-get install debootstrap` installs it",
        ));
    }
    Ok(())
}

fn build(dir: &Path, options: &Options) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", SCRIPT, "rabbitmq4"])
        .arg(dir)
        .args([&options.suite, &options.mirror])
        .status()
        .map_err(|error| Error::new(format!("rabbitmq4: cannot run a shell: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!("rabbitmq4: making {}: {status}, expected success", dir.display())))
}

/// What was asked for.
#[derive(PartialEq, Eq, Debug)]
struct Options {
    dir: PathBuf,
    suite: String,
    mirror: String,
}

impl Options {
    fn of(args: &[String]) -> Result<Self> {
        let wrong = |found: &str| Error::new(format!("rabbitmq4: {found}\n\n{USAGE}"));
        let mut dir = None;
        let mut suite = "trixie".to_owned();
        let mut mirror = "http://deb.debian.org/debian".to_owned();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().ok_or_else(|| wrong(&format!("`{arg}` alone")));
            match arg.as_str() {
                "--suite" => suite = value()?,
                "--mirror" => mirror = value()?,
                name if name.starts_with('-') || dir.is_some() => {
                    return Err(wrong(&format!("found `{name}`, expected one DIR")));
                }
                path => dir = Some(Path::new(path).to_owned()),
            }
        }
        let dir = dir.ok_or_else(|| wrong("found no DIR"))?;
        Ok(Self { dir, suite, mirror })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        Options::of(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_directory_is_enough() {
        let told = options("--suite sid root --mirror http://m").unwrap();
        assert_eq!((told.dir, told.suite), ("root".into(), "sid".to_owned()));
        assert_eq!(told.mirror, "http://m");
        assert_eq!(options("root").unwrap().suite, "trixie");
    }

    #[test]
    fn what_is_unclear_is_refused() {
        for line in ["", "a b", "--suite", "--fast a"] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
