//! `cargo xtask demo`: builds the bridge and shows it at work on a broker of its own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};

use xtask::broker::{Node, Options};
use xtask::{Error, Result};

use crate::run::{bridge, build_bridge, program, shown};
use crate::setup::{Broker, setup, take_amqp_url};

/// Removes a directory when the program has ended; Ctrl-C is for the program.
const RUN_AND_REMOVE: &str = r#"
dir=$1
shift
trap : INT TERM HUP
"$@"
code=$?
rm -rf "$dir"
exit "$code"
"#;

/// Runs `cargo xtask demo`. On success it does not return: this process becomes the bridge's.
pub(crate) fn command(mut args: Vec<String>) -> Result<ExitCode> {
    let broker = setup(take_amqp_url(&mut args)?)?;
    build_bridge()?;
    match broker {
        Broker::Private => {
            let node = Node::start_with(Options::new().management().shovel())?;
            println!("demo: RabbitMQ {} at {}", node.version(), node.amqp_url());
            let demo = demo(&node.amqp_url(), node.management_url(), node.dir(), &args);
            println!("$ {}", shown(&demo));
            Err(node.exec(&demo))
        }
        Broker::Url(url) => {
            let dir = temporary_dir()?;
            let demo = demo(&url, None, &dir, &args);
            Err(exec_and_remove(&demo, &dir))
        }
    }
}

/// The bridge's own demo on a broker, with its state in a directory.
pub(crate) fn demo(
    amqp_url: &str,
    management_url: Option<String>,
    dir: &Path,
    args: &[String],
) -> Command {
    let mut demo = program(bridge());
    demo.args(["demo", "--amqp-url", amqp_url]).args(args).env("TIELINE__AMQP__URL", amqp_url);
    if let Some(url) = management_url {
        demo.env("TIELINE__AMQP__MANAGEMENT_URL", url);
    }
    let mut store = OsString::from("sqlite:");
    store.push(dir.join("tieline.db"));
    demo.env("TIELINE__STORE__URL", store);
    demo
}

fn temporary_dir() -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("tieline-demo-{}", process::id()));
    fs::create_dir_all(&dir)
        .map_err(|error| Error::new(format!("make the directory {}: {error}", dir.display())))?;
    Ok(dir)
}

fn exec_and_remove(demo: &Command, dir: &Path) -> Error {
    let mut shell = program("/bin/sh");
    shell.args(["-c", RUN_AND_REMOVE, "demo"]).arg(dir);
    shell.arg(demo.get_program()).args(demo.get_args());
    shell.envs(demo.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Error::new(format!("cannot run /bin/sh: {}", shell.exec()))
}
