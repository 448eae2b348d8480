//! `tieline queues`: the queues, exchanges and bindings.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::exit::{Exit, Failed};
use super::select::Change;
use super::{output, views};
use crate::amqp::topology::{Report, Role, Severity, Version};
use crate::config::Settings;
use crate::runtime::sides::{self, Sides};

#[derive(Subcommand, Debug)]
pub(super) enum Queues {
    /// Show the topology: which queue plays which role, and how it must be made.
    Show {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Compare the broker with the topology; refuse what can lose a message, naming the fix.
    Check {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Make what is missing on the broker. What is there is left as it is.
    Declare {
        #[command(flatten)]
        change: Change,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Write the topology as definitions for RabbitMQ's own import.
    Export {
        /// The broker's version; before 4.0 the error queues are made differently.
        #[arg(long, value_name = "VERSION", default_value = "4.0")]
        broker: String,
        /// The virtual host.
        #[arg(long, default_value = "/")]
        vhost: String,
        /// The file; standard output without one.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs the command.
pub(super) async fn run(command: Queues, settings: &Settings) -> Result<Exit, Failed> {
    match command {
        Queues::Show { json } => show(settings, json),
        Queues::Check { json } => check(settings, json).await,
        Queues::Declare { change, json } => declare(settings, &change, json).await,
        Queues::Export { broker, vhost, output } => {
            export(settings, &broker, &vhost, output.as_deref())
        }
    }
}

fn show(settings: &Settings, json: bool) -> Result<Exit, Failed> {
    let topology = sides::topology(settings)?;
    let roles = Role::ALL.map(|role| (role, topology.queue(role)));
    if json {
        let queues: serde_json::Map<_, _> =
            roles.iter().map(|(role, queue)| (role.as_str().to_owned(), json!(queue))).collect();
        output::json(&json!({
            "queues": queues,
            "exchanges": {
                "in": topology.exchange_in(),
                "out": topology.exchange_out(),
                "errors": topology.exchange_errors(),
            },
            "delivery_limit": topology.delivery_limit(),
        }));
        return Ok(Exit::Done);
    }
    let rows =
        roles.iter().map(|(role, queue)| vec![role.as_str().to_owned(), (*queue).to_owned()]);
    output::table(&["role", "queue"], rows.collect(), "no queues");
    output::line("");
    output::table(
        &["exchange", "for"],
        vec![
            vec![topology.exchange_in().to_owned(), "billing and asset management publish".into()],
            vec![topology.exchange_out().to_owned(), "asset locations and replies".into()],
            vec![topology.exchange_errors().to_owned(), "what failed: <leg>.<code>".into()],
        ],
        "no exchanges",
    );
    Ok(Exit::Done)
}

async fn check(settings: &Settings, json: bool) -> Result<Exit, Failed> {
    let reports = sides::check_queues(settings).await?;
    let refused = reports.iter().any(|(_, report)| report.severity() == Severity::Refuse);
    if json {
        let sides = reports.iter().map(|(side, report)| side_json(side, report));
        output::json(&json!({ "safe": !refused, "sides": sides.collect::<Vec<_>>() }));
    } else {
        for (side, report) in &reports {
            print_report(side, report);
        }
    }
    Ok(if refused { Exit::Broker } else { Exit::Done })
}

fn print_report(side: &str, report: &Report) {
    output::line(format_args!("{side}:"));
    for finding in &report.findings {
        let mark = mark(finding.severity);
        output::line(format_args!(
            "  {mark:6} {}: {}",
            finding.thing,
            output::plain(&finding.found)
        ));
        if finding.severity != Severity::Ok {
            output::line(format_args!("         expected {}", finding.expected));
            if let Some(fix) = &finding.fix {
                output::line(format_args!("         fix: {fix}"));
            }
        }
    }
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warn => "warn",
        Severity::Refuse => "REFUSE",
    }
}

fn side_json(side: &str, report: &Report) -> serde_json::Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "severity": mark(finding.severity).to_ascii_lowercase(),
            "thing": finding.thing,
            "found": finding.found,
            "expected": finding.expected,
            "fix": finding.fix,
        })
    });
    json!({
        "side": side,
        "view": format!("{:?}", report.view).to_ascii_lowercase(),
        "version": report.version.map(|version| version.to_string()),
        "findings": findings.collect::<Vec<_>>(),
    })
}

async fn declare(settings: &Settings, change: &Change, json: bool) -> Result<Exit, Failed> {
    let topology = sides::topology(settings)?;
    let sides = Sides::of(settings)?;
    let mut all = Vec::new();
    for (endpoint, roles) in sides.roles() {
        if change.dry_run {
            let queues = roles.iter().map(|role| topology.queue(*role)).collect::<Vec<_>>();
            output::line(format_args!("on {}: {}", endpoint.address(), queues.join(", ")));
            continue;
        }
        let made = topology
            .declare(endpoint, &roles)
            .await
            .map_err(|error| Failed::new(Exit::Broker, error, views::BROKER_HELP))?;
        all.extend(made);
    }
    if json {
        let made = all.iter().map(|m| json!({ "thing": m.thing, "outcome": m.outcome.as_str() }));
        output::json(&made.collect());
    } else {
        for made in &all {
            output::line(format_args!("{:6} {}", made.outcome.as_str(), made.thing));
        }
    }
    Ok(Exit::Done)
}

fn export(
    settings: &Settings,
    broker: &str,
    vhost: &str,
    file: Option<&std::path::Path>,
) -> Result<Exit, Failed> {
    let version: Version = broker.parse().map_err(|_| {
        Failed::usage(format!(
            "'{broker}' is no version of RabbitMQ; expected for example 3.13 or 4.0"
        ))
    })?;
    let definitions = sides::topology(settings)?.definitions(vhost, version);
    let text = format!("{definitions:#}\n");
    match file {
        None => output::raw(text.as_bytes()),
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failed::usage(format!("write {}: {error}", path.display())))?,
    }
    Ok(Exit::Done)
}
