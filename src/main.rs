//! Parses the command line, runs the command, turns an error into text and exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tieline::cli::main()
}
