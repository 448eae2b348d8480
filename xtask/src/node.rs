//! `cargo xtask node`: a private node to try things with.

use std::io::{self, Write as _};
use std::process::ExitCode;

use xtask::broker::{Install, Node, Options};
use xtask::{Error, Result};

use crate::run::program;

/// Runs `cargo xtask node`. The node ends with the input (Ctrl-D), with Ctrl-C, or with the program
/// that was given.
pub(crate) fn command(mut args: Vec<String>) -> Result<ExitCode> {
    let words = args.iter().position(|arg| arg == "--").map(|at| args.split_off(at));
    let mut options = Options::new();
    for arg in args {
        options = match arg.as_str() {
            "--management" => options.management(),
            "--shovel" => options.shovel(),
            unknown => {
                return Err(Error::new(format!(
                    "node: found `{unknown}`, expected --management, --shovel or -- PROGRAM ARGS"
                )));
            }
        };
    }
    Install::find()?;
    let node = Node::start_with(options)?;
    println!("version {}", node.version());
    println!("directory {}", node.dir().display());
    println!("process {}", node.pid().unwrap_or_default());
    if let Some(url) = node.management_url() {
        println!("management {url}");
    }
    println!("amqp {}", node.amqp_url());
    match words.as_deref() {
        Some([_, name, rest @ ..]) => {
            let mut program = program(name);
            program.args(rest).env("TIELINE_TEST_AMQP_URL", node.amqp_url());
            Err(node.exec(&program))
        }
        _ => await_end_of_input().map(|()| ExitCode::SUCCESS),
    }
}

fn await_end_of_input() -> Result<()> {
    io::stdout()
        .flush()
        .and_then(|()| io::copy(&mut io::stdin().lock(), &mut io::sink()))
        .map(drop)
        .map_err(|error| Error::new(format!("read the input: {error}")))
}
