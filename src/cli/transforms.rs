//! `tieline transforms`: the mappings.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::exit::{Exit, Failed};
use super::output;
use crate::config::Settings;
use crate::runtime::assemble;
use crate::transform::ContentType;

#[derive(Subcommand, Debug)]
pub(super) enum Transforms {
    /// Say whether the mappings are good; every mistake with file, line and what to do.
    Check,
    /// Translate a request from a file and show the result, or every defect.
    Try {
        /// The message.
        file: PathBuf,
    },
}

/// Runs the command.
pub(super) fn run(command: Transforms, settings: &Settings) -> Result<Exit, Failed> {
    match command {
        Transforms::Check => check(settings),
        Transforms::Try { file } => try_one(&file, settings),
    }
}

fn check(settings: &Settings) -> Result<Exit, Failed> {
    let catalog = assemble::catalog(settings)?;
    for warning in catalog.warnings() {
        output::note(format_args!("warning: {warning}"));
    }
    let place =
        assemble::folder(settings).map_or("built-in".to_owned(), |f| f.display().to_string());
    output::line(format_args!("the mappings of {place} are good; digest {}", catalog.digest()));
    Ok(Exit::Done)
}

fn try_one(file: &Path, settings: &Settings) -> Result<Exit, Failed> {
    let payload = std::fs::read(file)
        .map_err(|error| Failed::usage(format!("read {}: {error}", file.display())))?;
    let content = ContentType { content_type: None, content_encoding: None };
    let translated = assemble::catalog(settings)?.translate(&payload, &content);
    match translated.outcome {
        Ok(translation) => {
            output::raw(&translation.outgoing);
            output::line("");
            Ok(Exit::Done)
        }
        Err(failure) => {
            for defect in &failure.defects {
                output::note(format_args!(
                    "{} {}",
                    defect.code,
                    output::plain(&defect.to_string())
                ));
            }
            if failure.defects.is_empty() {
                output::note(format_args!("{} {}", failure.code, output::plain(&failure.detail)));
            }
            Ok(Exit::Failed)
        }
    }
}
