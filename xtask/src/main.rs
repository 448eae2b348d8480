//! `cargo xtask`: the developer tool. One file per command.

mod bench;
mod check;
mod ci;
mod demo;
mod fuzz;
mod node;
mod rabbitmq4;
mod run;
mod setup;
mod test;
mod torture;

use std::env;
use std::process::ExitCode;

use xtask::Result;

const USAGE: &str = "\
the developer tool of tieline

usage: cargo xtask COMMAND [ARGS]

  setup [--amqp-url URL]           finds a RabbitMQ for demo and test, or installs one
  demo [--amqp-url URL] [ARGS]     builds the bridge and runs its demo; --exit ends by itself
  test [--amqp-url URL] [ARGS]     runs every test; ARGS go to cargo test
  check                            format, lints, documentation, dependencies, spelling
  ci                               check, then test
  bench [SCENARIO…] [ARGS]         measures the bridge on a broker of its own; --help tells more
  torture [--schedule NAME]… [ARGS]
                                   kills, cuts, fills and freezes; --help tells more
  fuzz TARGET [--minutes M] [--seed N]
                                   bad inputs by the million; --help tells the targets
  node [--management] [--shovel] [-- PROGRAM ARGS]
                                   runs a private RabbitMQ until its input or the program ends
  rabbitmq4 DIR [ARGS]             makes a RabbitMQ 4 in a directory, by debootstrap; --help tells more

The AMQP URL of a broker to use may also stand in TIELINE_TEST_AMQP_URL. Private
ones are of the machine's own RabbitMQ, or of another: TIELINE_TEST_RABBITMQ names the directory of its
rabbitmq-server, TIELINE_TEST_RABBITMQ_ROOT a directory with a system that has one (made by rabbitmq4).
";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let builds = ["demo", "test", "check", "ci", "bench", "torture", "fuzz", "setup"];
    if builds.contains(&command.as_str())
        && let Err(error) = setup::have_make()
    {
        return end(Err(error));
    }
    let outcome = match command.as_str() {
        "demo" => demo::command(args),
        "test" => test::command(args),
        "check" => check::command(&args),
        "ci" => ci::command(&args),
        "bench" => bench::command(&args),
        "torture" => torture::command(&args),
        "fuzz" => fuzz::command(&args),
        "node" => node::command(args),
        "rabbitmq4" => rabbitmq4::command(&args),
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
