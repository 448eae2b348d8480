//! `tieline doctor`: is everything there? One line each.

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failed, NO_STORE};
use super::output;
use crate::amqp::Endpoint;
use crate::amqp::facts::{Alarms, BrokerFacts, facts};
use crate::amqp::topology::Severity;
use crate::bridge::fence::{self, FenceQueue as _};
use crate::bridge::health::Check;
use crate::config::Settings;
use crate::runtime::assemble;
use crate::runtime::sides::{self, Sides};
use crate::runtime::{StartError, Workshop};
use crate::store::Role;

#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// One line of the report.
struct Line {
    name: String,
    severity: Severity,
    detail: String,
    /// How the process exits if this is the worst.
    exit: Exit,
}

/// Runs the command.
pub(super) async fn run(doctor: Doctor, settings: &Settings) -> Result<Exit, Failed> {
    let mut lines = vec![good("settings", "read")];
    lines.push(mappings(settings));
    lines.extend(brokers(settings).await?);
    lines.extend(queues(settings).await);
    lines.push(store(settings).await);
    if settings.store.fence {
        lines.extend(fence(settings).await);
    }
    lines.extend(bridge(settings).await);
    if doctor.json {
        output::json(
            &lines
                .iter()
                .map(|line| {
                    json!({ "check": line.name, "result": word(line.severity), "detail": line.detail })
                })
                .collect(),
        );
    } else {
        let width = lines.iter().map(|line| line.name.len()).max().unwrap_or_default();
        for line in &lines {
            let detail = output::plain(&line.detail);
            output::line(format_args!("{:5} {:width$}  {detail}", word(line.severity), line.name));
        }
    }
    let worst = lines.iter().find(|line| line.severity == Severity::Refuse);
    Ok(worst.map_or(Exit::Done, |line| line.exit))
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warn => "warn",
        Severity::Refuse => "FAIL",
    }
}

fn good(name: impl Into<String>, detail: impl Into<String>) -> Line {
    let (severity, exit) = (Severity::Ok, Exit::Done);
    Line { name: name.into(), severity, detail: detail.into(), exit }
}

fn warn(name: impl Into<String>, detail: impl Into<String>) -> Line {
    Line { severity: Severity::Warn, ..good(name, detail) }
}

fn bad(name: impl Into<String>, detail: impl Into<String>, exit: Exit) -> Line {
    Line { name: name.into(), severity: Severity::Refuse, detail: detail.into(), exit }
}

fn mappings(settings: &Settings) -> Line {
    let place =
        assemble::folder(settings).map_or("built in".to_owned(), |f| f.display().to_string());
    match assemble::catalog(settings) {
        Ok(catalog) => {
            let warnings = catalog.warnings().len();
            let detail = format!("{place}, digest {}", catalog.digest());
            if warnings == 0 {
                return good("mappings", detail);
            }
            let detail = format!("{detail}; {warnings} warnings, see `tieline transforms check`");
            warn("mappings", detail)
        }
        Err(error) => bad("mappings", first_line(&error.to_string()), Exit::Settings),
    }
}

async fn brokers(settings: &Settings) -> Result<Vec<Line>, Failed> {
    let sides = Sides::of(settings)?;
    let mut lines = Vec::new();
    for (endpoint, _) in sides.roles() {
        let name =
            if sides.same { "broker".to_owned() } else { format!("broker of {}", endpoint.name()) };
        let management = sides::management(settings, endpoint).await?;
        let facts = match facts(endpoint, management.as_ref()).await {
            Ok(facts) => facts,
            Err(error) => {
                lines.push(bad(name, error.to_string(), Exit::Broker));
                continue;
            }
        };
        lines.push(good(&name, seen(endpoint, &facts)));
        lines.push(match facts.alarms {
            Alarms::None => good(format!("{name} alarms"), "none"),
            Alarms::Unseen(why) => warn(format!("{name} alarms"), format!("not seen: {why}")),
            Alarms::Raised(words) => bad(format!("{name} alarms"), words, Exit::Broker),
        });
        if endpoint.user() == "guest" && !endpoint.is_local() {
            let detail = "guest; give tieline a user of its own with the rights it needs";
            lines.push(warn(format!("{name} user"), detail));
        }
    }
    Ok(lines)
}

fn seen(endpoint: &Endpoint, facts: &BrokerFacts) -> String {
    let product = facts.greeting.product.as_deref().unwrap_or("a broker");
    let version = facts.greeting.version.map(|version| version.to_string());
    let version = version.as_deref().unwrap_or("of unknown version");
    format!("{product} {version} at {} vhost {}", endpoint.address(), endpoint.vhost())
}

async fn queues(settings: &Settings) -> Vec<Line> {
    let reports = match sides::check_queues(settings).await {
        Ok(reports) => reports,
        Err(error) => return vec![bad("queues", first_line(&error.to_string()), Exit::Broker)],
    };
    let mut lines = Vec::new();
    for finding in reports.iter().flat_map(|(_, report)| &report.findings) {
        let mut detail = finding.found.clone();
        if finding.severity != Severity::Ok {
            detail = format!("{detail}; expected {}", finding.expected);
            if let Some(fix) = &finding.fix {
                detail = format!("{detail}; fix: {fix}");
            }
        }
        let (name, severity) = (finding.thing.clone(), finding.severity);
        lines.push(Line { name, severity, detail, exit: Exit::Broker });
    }
    lines
}

async fn store(settings: &Settings) -> Line {
    let place = settings.store.url.clone();
    match Workshop::open(settings, Role::Operator) {
        Ok(workshop) => match workshop.store.counts().await {
            Ok(counts) => {
                let requests: u64 = counts.requests.iter().map(|(_, count)| count).sum();
                let open: u64 = counts.errors_open.iter().map(|(_, count)| count).sum();
                good("store", format!("{place}: {requests} requests, {open} open errors"))
            }
            Err(error) => bad("store", error.to_string(), Exit::Store),
        },
        // The first start makes it.
        Err(StartError::Store(error)) if error.to_string().ends_with(NO_STORE) => {
            let detail = format!("{place} is not there yet; `tieline run` makes it");
            warn("store", detail)
        }
        Err(error) => bad("store", first_line(&error.to_string()), Exit::Store),
    }
}

/// How the store stands to the fence. The fence is read first: a bridge may be at work.
async fn fence(settings: &Settings) -> Option<Line> {
    let queue = sides::fence_queue(settings).ok()?;
    let fence = match queue.read(false).await {
        Ok(Some(fence)) => fence,
        Ok(None) => return Some(warn("fence", "there is none yet; the bridge makes it")),
        Err(error) => return Some(warn("fence", first_line(&error.to_string()))),
    };
    let workshop = Workshop::open(settings, Role::Operator).ok()?;
    let mark = workshop.store.mark().await.ok()?;
    match fence::compare(workshop.store.as_ref(), &queue, &mark, Some(&fence)).await.ok()? {
        None => Some(good(
            "fence",
            format!(
                "line {} of {}, by {}; store at line {}",
                fence.line, fence.at, fence.run, mark.line
            ),
        )),
        // The bridge takes the fence over by itself, if nobody is at work.
        Some(refusal) if mark.is_blank() && !refusal.is_attended => {
            Some(warn("fence", refusal.to_string()))
        }
        Some(refusal) => Some(bad("fence", refusal.to_string(), Exit::Fence)),
    }
}

/// What the bridge says of itself, if it runs: how its consumers are, nobody else knows.
async fn bridge(settings: &Settings) -> Vec<Line> {
    let checks = crate::http::ask(&settings.http.listen).await.unwrap_or_default();
    let line = |check: Check| {
        let name = format!("bridge: {}", check.name);
        if check.ok { good(name, check.detail) } else { bad(name, check.detail, Exit::Failed) }
    };
    checks.into_iter().map(line).collect()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
