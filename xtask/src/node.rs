//! `cargo xtask node`: a private node to try things with, until the input ends.

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use xtask::broker::{Node, Options};
use xtask::{Error, Result};

use crate::setup::{Broker, setup};

/// Runs `cargo xtask node`.
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let mut options = Options::new();
    for arg in args {
        options = match arg.as_str() {
            "--management" => options.management(),
            "--shovel" => options.shovel(),
            unknown => {
                return Err(Error::new(format!(
                    "node: found `{unknown}`, expected --management or --shovel"
                )));
            }
        };
    }
    let Broker::Install(_) = setup(None)? else {
        return Err(Error::new("node: a broker runs already, expected to start a private one"));
    };
    let node = Node::start_with(options)?;
    println!("version {}", node.version());
    println!("amqp {}", node.amqp_url());
    if let Some(url) = node.management_url() {
        println!("management {url}");
    }
    println!("directory {}", node.dir().display());
    println!("process {}", node.pid().unwrap_or_default());
    println!("ends with its input: Ctrl-D or Ctrl-C");
    io::stdout()
        .flush()
        .and_then(|()| io::stdin().lock().lines().try_for_each(|line| line.map(drop)))
        .map_err(|error| Error::new(format!("node: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
