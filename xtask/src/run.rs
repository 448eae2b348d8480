//! Running other programs: every command is shown before it runs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use xtask::{Error, Result};

/// The repository's top directory.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// A program that will run at the top of the repository.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// What cargo tells this tool about this tool. Build scripts look at it too (ring's does), so that a
/// build from here and one from a shell would each undo the other.
const OURS: [&str; 5] =
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// Cargo, the same that runs this tool, and as if it were run from a shell.
pub(crate) fn cargo() -> Command {
    let mut cargo = program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if OURS.iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds the bridge as it is shipped.
pub(crate) fn build_bridge() -> Result<()> {
    run(cargo().args(["build", "--release", "--bin", "tieline"]))
}

/// Where [`build_bridge`] puts the bridge.
pub(crate) fn bridge() -> PathBuf {
    target().join("release/tieline")
}

/// Where cargo puts what it builds: this tool lies in `<target>/debug`.
pub(crate) fn target() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// Shows a command, runs it with this terminal, says how long it took, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("$ {shown}");
    let start = Instant::now();
    let status =
        command.status().map_err(|error| Error::new(format!("cannot run `{shown}`: {error}")))?;
    println!("# {:.1} s: {shown}", start.elapsed().as_secs_f64());
    if status.success() {
        Ok(())
    } else {
        Err(Error::new(format!("`{shown}`: {status}, expected success")))
    }
}

/// Runs a command silently and says whether it succeeded; a program that is absent did not.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command as a person would type it, its own settings of the environment first, without the
/// passwords of URLs.
pub(crate) fn shown(command: &Command) -> String {
    let settings = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), without_password(&value?.to_string_lossy())))
    });
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = [program].into_iter().chain(command.get_args());
    settings
        .chain(words.map(|word| without_password(&word.to_string_lossy())))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A text as it may be shown: a URL loses its user and password, unless they are RabbitMQ's default
/// ones, which everybody knows.
pub(crate) fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, rest)), Some((_, host))) if !rest.starts_with("guest:guest@") => {
            format!("{scheme}://…@{host}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("amqp://user:p@ss@host/x"), "amqp://…@host/x");
        assert_eq!(without_password("amqp://guest:guest@host/x"), "amqp://guest:guest@host/x");
        assert_eq!(without_password("amqp://host"), "amqp://host");
        let mut command = Command::new("/bin/cargo");
        command.args(["test", "--url=amqp://me:secret@host"]).env("URL", "amqp://me:secret@host");
        assert_eq!(shown(&command), "URL=amqp://…@host cargo test --url=amqp://…@host");
    }
}
