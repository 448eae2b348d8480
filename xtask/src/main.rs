//! `cargo xtask`: the developer tool. One file per command.

mod node;
mod run;
mod setup;

use std::env;
use std::process::ExitCode;

use xtask::Result;

const USAGE: &str = "\
the developer tool of tieline

usage: cargo xtask COMMAND [ARGS]

  setup [--amqp-url URL]   finds a RabbitMQ for demo and test, or installs one
  node [--management]      runs a private node until its input ends
";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "node" => node::command(&args),
        "setup" => setup::command(args),
        "" | "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        unknown => {
            eprint!("xtask: no command `{unknown}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    end(outcome)
}

fn end(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: failed: {error}");
        ExitCode::FAILURE
    })
}
