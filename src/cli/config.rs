//! `tieline config`: the settings in force.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::exit::{Exit, Failed};
use super::output;

#[derive(Subcommand, Debug)]
pub(super) enum Config {
    /// Say whether file and environment make good settings.
    Check,
    /// Show the settings in force, passwords hidden.
    Show {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) fn run(command: &Config, file: Option<&Path>) -> Result<Exit, Failed> {
    let settings = crate::config::load(file)?;
    match command {
        Config::Check => output::line("the settings are good"),
        Config::Show { json: true } => output::json(&json!(settings)),
        Config::Show { json: false } => {
            let text = toml::to_string(&settings);
            output::line(
                text.map_err(|error| Failed::usage(format!("show the settings: {error}")))?,
            );
        }
    }
    Ok(Exit::Done)
}
