//! Where this machine keeps RabbitMQ and Erlang, and which RabbitMQ is meant where it has several.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result, is_root};

/// Names the directory of another `rabbitmq-server`, for example `sbin` of an unpacked generic build.
const SCRIPTS_VARIABLE: &str = "TIELINE_TEST_RABBITMQ";

/// Names a directory with a whole system that has RabbitMQ in it, for example of
/// `cargo xtask rabbitmq4`.
const ROOT_VARIABLE: &str = "TIELINE_TEST_RABBITMQ_ROOT";

/// Runs a program in another root, in a mount namespace of its own.
const ENTER: &str = include_str!("enter.sh");

/// Directories that hold the real `rabbitmq-server`, in order of preference. The one that a Debian
/// machine has in its `PATH` is a wrapper that changes to the user `rabbitmq`, and of no use here.
const SCRIPT_DIRS: [&str; 5] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/usr/local/sbin",
];

/// Directories that may hold `erl` and `epmd` beside those in `PATH`.
const ERLANG_DIRS: [&str; 5] = [
    "/usr/bin",
    "/usr/local/bin",
    "/opt/erlang/lib/erlang/bin",
    "/opt/homebrew/bin",
    "/usr/lib/erlang/bin",
];

/// A RabbitMQ that nodes can be started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The directory with the real `rabbitmq-server` and `rabbitmqctl`.
    scripts: PathBuf,
    /// The directory with `erl` and `epmd`.
    pub(super) erlang: PathBuf,
    /// What both are below, where that is not this system itself.
    root: Option<PathBuf>,
}

impl Install {
    /// Finds a RabbitMQ: the one that the environment names, or else the machine's own, in
    /// `RABBITMQ_HOME`, at the usual places, in `PATH`.
    pub fn find() -> Result<Self> {
        if let Some(named) = Self::named()? {
            return Ok(named);
        }
        let scripts = script_dirs().into_iter().find(|dir| holds_real_server(dir));
        scripts.map_or_else(|| Err(absent()), Self::at)
    }

    /// The RabbitMQ that `TIELINE_TEST_RABBITMQ_ROOT` or `TIELINE_TEST_RABBITMQ` names, if one does.
    pub fn named() -> Result<Option<Self>> {
        let named = |name| env::var_os(name).filter(|value| !value.is_empty());
        if let Some(root) = named(ROOT_VARIABLE) {
            return Self::in_root(root).map(Some);
        }
        named(SCRIPTS_VARIABLE).map(Self::at).transpose()
    }

    /// The RabbitMQ whose real `rabbitmq-server` is in this directory.
    pub fn at(scripts: impl Into<PathBuf>) -> Result<Self> {
        let scripts = scripts.into();
        if !holds_real_server(&scripts) {
            return Err(Error::new(format!(
                "no RabbitMQ in {}: expected rabbitmq-server, rabbitmqctl and rabbitmq-env there",
                scripts.display()
            )));
        }
        let erlang = erlang_dirs().into_iter().find(|dir| holds_erlang(dir)).ok_or_else(|| {
            Error::new(format!(
                "rabbitmq-server is in {}, but no directory of PATH or {} holds erl and epmd",
                scripts.display(),
                ERLANG_DIRS.join(", "),
            ))
        })?;
        Ok(Self { scripts, erlang, root: None })
    }

    /// The RabbitMQ of the system in this directory, which is entered by `chroot`: that needs root.
    pub fn in_root(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let failed = |text: &str| Error::new(format!("RabbitMQ below {}: {text}", root.display()));
        let real = fs::canonicalize(root).map_err(|error| failed(&error.to_string()))?;
        let within = |dir: &&&str| real.join(dir.trim_start_matches('/'));
        let scripts = SCRIPT_DIRS.iter().find(|dir| holds_real_server(&within(dir)));
        let erlang = ERLANG_DIRS.iter().find(|dir| holds_erlang(&within(dir)));
        let (Some(scripts), Some(erlang)) = (scripts, erlang) else {
            return Err(failed(
                "found no rabbitmq-server, or no erl and epmd, expected both; \
                 `cargo xtask rabbitmq4 DIR` makes such a directory",
            ));
        };
        if !is_root() {
            return Err(failed("found another user, expected root, who may chroot and mount"));
        }
        Ok(Self { scripts: scripts.into(), erlang: erlang.into(), root: Some(real) })
    }

    /// Where it is, for people.
    pub fn shown(&self) -> String {
        match &self.root {
            Some(root) => format!("{} below {}", self.scripts.display(), root.display()),
            None => self.scripts.display().to_string(),
        }
    }

    /// The script that becomes the node.
    pub(super) fn server(&self) -> PathBuf {
        self.scripts.join("rabbitmq-server")
    }

    /// Erlang's port mapper.
    pub(super) fn epmd(&self) -> PathBuf {
        self.erlang.join("epmd")
    }

    /// The script that commands a node, for the node of this directory.
    pub(super) fn ctl(&self, dir: &Path) -> Command {
        let mut words = self.entering(dir);
        words.push(self.scripts.join("rabbitmqctl").into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The words in front of a program that make it run where this RabbitMQ is, with the node's
    /// directory in its usual place: none, unless that is another root.
    pub(super) fn entering(&self, dir: &Path) -> Vec<OsString> {
        let Some(root) = &self.root else { return Vec::new() };
        let shell = ["unshare", "--mount", "sh", "-c", ENTER, "enter"].map(OsString::from);
        shell.into_iter().chain([root.into(), dir.into()]).collect()
    }
}

fn absent() -> Error {
    Error::new(format!(
        "no rabbitmq-server in RABBITMQ_HOME, {} or PATH; `cargo xtask setup` installs one",
        SCRIPT_DIRS.join(", "),
    ))
}

fn holds_erlang(dir: &Path) -> bool {
    // A link of another root may lead nowhere from here.
    ["erl", "epmd"].iter().all(|name| fs::symlink_metadata(dir.join(name)).is_ok())
}

fn script_dirs() -> Vec<PathBuf> {
    let home = env::var_os("RABBITMQ_HOME").map(PathBuf::from);
    let of_home = home.iter().flat_map(|home| [home.join("sbin"), home.join("bin")]);
    of_home.chain(SCRIPT_DIRS.iter().map(PathBuf::from)).chain(dirs_of_path()).collect()
}

fn erlang_dirs() -> Vec<PathBuf> {
    dirs_of_path().chain(ERLANG_DIRS.iter().map(PathBuf::from)).collect()
}

fn dirs_of_path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// The real script sets up its environment by `rabbitmq-env`, which lies beside it; a wrapper
/// stands alone.
fn holds_real_server(dir: &Path) -> bool {
    let Ok(server) = fs::canonicalize(dir.join("rabbitmq-server")) else { return false };
    let beside = |name: &OsStr| server.parent().is_some_and(|real| real.join(name).is_file());
    beside(OsStr::new("rabbitmq-env")) && dir.join("rabbitmqctl").is_file()
}
