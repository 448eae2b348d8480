//! Where this machine keeps RabbitMQ and Erlang.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

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

/// A RabbitMQ of this machine that nodes can be started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The directory with the real `rabbitmq-server` and `rabbitmqctl`.
    pub scripts: PathBuf,
    /// The directory with `erl` and `epmd`.
    pub erlang: PathBuf,
}

impl Install {
    /// Finds the machine's RabbitMQ: in `RABBITMQ_HOME`, at the usual places, in `PATH`.
    pub fn find() -> Result<Self> {
        let scripts = script_dirs().into_iter().find(|dir| holds_real_server(dir)).ok_or_else(
            || {
                Error::new(format!(
                    "no rabbitmq-server in RABBITMQ_HOME, {} or PATH; `cargo xtask setup` installs one",
                    SCRIPT_DIRS.join(", "),
                ))
            },
        )?;
        let erlang = erlang_dirs()
            .into_iter()
            .find(|dir| dir.join("erl").is_file() && dir.join("epmd").is_file())
            .ok_or_else(|| {
                Error::new(format!(
                    "rabbitmq-server is in {}, but no directory of PATH or {} holds erl and epmd",
                    scripts.display(),
                    ERLANG_DIRS.join(", "),
                ))
            })?;
        Ok(Self { scripts, erlang })
    }

    /// The script that becomes the node.
    pub fn server(&self) -> PathBuf {
        self.scripts.join("rabbitmq-server")
    }

    /// The script that commands a node.
    pub fn ctl(&self) -> PathBuf {
        self.scripts.join("rabbitmqctl")
    }

    /// Erlang's port mapper.
    pub fn epmd(&self) -> PathBuf {
        self.erlang.join("epmd")
    }
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
