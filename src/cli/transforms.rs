//! `tieline transforms`: the mappings.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::exit::{Exit, Failed};
use super::{output, views};
use crate::config::Settings;
use crate::domain::Answer;
use crate::runtime::StartError;
use crate::runtime::assemble;
use crate::transform::{
    Catalog, ContentType, LoadErrors, Recognised, SampleOutcome, SampleResult, pretty_xml,
};

#[derive(Subcommand, Debug)]
pub(super) enum Transforms {
    /// Say whether the mappings are good; every mistake with file, line and what to do.
    Check {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Translate a request, or read an answer, from a file: the result, or every defect.
    Try {
        /// The message.
        file: PathBuf,
        /// The result as it would be sent, without line breaks.
        #[arg(long)]
        exact: bool,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Hold every sample of the folder against its expected output.
    Test {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) fn run(command: Transforms, settings: &Settings) -> Result<Exit, Failed> {
    match command {
        Transforms::Check { json } => check(settings, json),
        Transforms::Try { file, exact, json } => try_one(&file, exact, json, settings),
        Transforms::Test { json } => test(settings, json),
    }
}

fn check(settings: &Settings, json: bool) -> Result<Exit, Failed> {
    let catalog = match assemble::catalog(settings) {
        Ok(catalog) => catalog,
        Err(StartError::Mappings(errors)) if json => {
            output::json(&mistakes(&errors));
            return Ok(Exit::Settings);
        }
        Err(error) => return Err(error.into()),
    };
    let place = place(settings);
    if json {
        let warnings: Vec<_> = catalog.warnings().iter().map(views::problem).collect();
        output::json(&json!({
            "good": true, "folder": place, "digest": catalog.digest(), "warnings": warnings,
        }));
        return Ok(Exit::Done);
    }
    for warning in catalog.warnings() {
        output::note(format_args!("warning: {warning}"));
    }
    output::line(format_args!("the mappings of {place} are good; digest {}", catalog.digest()));
    Ok(Exit::Done)
}

fn place(settings: &Settings) -> String {
    let folder = assemble::folder(settings);
    folder.map_or("the built-in folder".to_owned(), |folder| folder.display().to_string())
}

fn mistakes(errors: &LoadErrors) -> serde_json::Value {
    let problems: Vec<_> = errors.problems.iter().map(views::problem).collect();
    json!({ "good": false, "folder": errors.folder, "problems": problems })
}

fn try_one(file: &Path, exact: bool, json: bool, settings: &Settings) -> Result<Exit, Failed> {
    let payload = std::fs::read(file)
        .map_err(|error| Failed::usage(format!("read {}: {error}", file.display())))?;
    let catalog = assemble::catalog(settings)?;
    let content = ContentType { content_type: None, content_encoding: None };
    let outcome = match catalog.recognise(&payload, &content) {
        Some(Recognised::Answer) => {
            catalog.read_answer(&payload, &content).map(|answer| told(&answer))
        }
        Some(Recognised::Request) | None => translated(&catalog, &payload, &content, exact),
    };
    match outcome {
        Ok(text) if json => output::json(&json!({ "passes": true, "result": text })),
        Ok(text) => output::raw(text.as_bytes()),
        Err(failure) => {
            if json {
                let failure = views::failure(&failure);
                output::json(&json!({ "passes": false, "failure": failure }));
            } else {
                views::print_failure(&failure);
            }
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}

/// What an answer says, in words.
fn told(answer: &Answer) -> String {
    let whom = views::or_dash(answer.reference.sync_request.as_ref());
    let mut text = format!("{} answer to sync request {whom}\n", answer.verdict.as_str());
    for key in &answer.keys {
        writeln!(text, "key     {} {}", key.entity, key.value).unwrap_or_default();
    }
    for why in &answer.exceptions {
        let parameters = why.parameters.join(", ");
        let (category, number) = (&why.category, &why.number);
        writeln!(text, "reason  {category} {number} ({parameters}) {}", why.text)
            .unwrap_or_default();
    }
    output::plain(&text)
}

fn translated(
    catalog: &Catalog,
    payload: &[u8],
    content: &ContentType<'_>,
    exact: bool,
) -> Result<String, crate::domain::Failure> {
    let translation = catalog.translate(payload, content).outcome?;
    let mut text = if exact {
        String::from_utf8_lossy(&translation.outgoing).into_owned()
    } else {
        pretty_xml(&translation.outgoing)
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn test(settings: &Settings, json: bool) -> Result<Exit, Failed> {
    let Some(folder) = assemble::folder(settings) else {
        return Err(Failed::usage(
            "there is no folder with samples: name one as transforms.folder, or go where transforms/ is",
        ));
    };
    let results = assemble::catalog(settings)?.check_samples(folder);
    let failed = results.iter().filter(|result| result.outcome != SampleOutcome::Held).count();
    if json {
        output::json(&results.iter().map(result_json).collect());
    } else {
        results.iter().for_each(print_result);
        let held = results.len() - failed;
        let all = output::plural(results.len(), "sample", "samples");
        output::line(format_args!("{held} of {all} hold"));
    }
    Ok(match (failed, results.len()) {
        (0, _) => Exit::Done,
        (failed, all) if failed == all => Exit::Failed,
        (_, _) => Exit::Partly,
    })
}

fn result_json(result: &SampleResult) -> serde_json::Value {
    let (outcome, detail) = words(&result.outcome);
    json!({ "folder": result.folder, "sample": result.name, "outcome": outcome, "detail": detail })
}

fn print_result(result: &SampleResult) {
    let (outcome, detail) = words(&result.outcome);
    output::line(format_args!("{outcome:8} {}/{}", result.folder, result.name));
    for line in detail.lines() {
        output::line(format_args!("    {}", output::plain(line)));
    }
}

fn words(outcome: &SampleOutcome) -> (&'static str, &str) {
    match outcome {
        SampleOutcome::Held => ("holds", ""),
        SampleOutcome::Differs(difference) => ("DIFFERS", difference),
        SampleOutcome::Unusable(why) => ("UNUSABLE", why),
    }
}
