//! Records as JSON and as rows. One shape for every command that shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::output;
use crate::bridge::ports::{ErrorView, GroupView, JournalLine, RequestView};
use crate::domain::{About, Defect, Failure};
use crate::transform::Problem;

/// An error record.
pub(super) fn error(error: &ErrorView) -> Value {
    json!({
        "id": error.id.to_string(),
        "status": error.status.as_str(),
        "leg": error.about.leg(error.failure.code).as_str(),
        "code": error.failure.code.as_str(),
        "title": error.failure.code.title(),
        "group": error.group.to_string(),
        "detail": error.failure.detail,
        "defects": error.failure.defects.iter().map(defect).collect::<Vec<_>>(),
        "about": about(&error.about),
        "request": error.request.map(|id| id.to_string()),
        "sync_request": error.sync_request.as_ref().map(ToString::to_string),
        "service_point": error.service_point.as_ref().map(ToString::to_string),
        "failures": error.failures,
        "first_at": error.first_at.to_string(),
        "last_at": error.last_at.to_string(),
        "by": error.by.as_ref().map(|by| json!({ "name": by.name, "reason": by.reason })),
    })
}

/// What an error record is about, in a word.
pub(super) fn about(about: &About) -> &'static str {
    match about {
        About::Request(_) => "request",
        About::Answer(_) => "answer",
        About::Reply(_) => "reply",
    }
}

/// A failure.
pub(super) fn failure(failure: &Failure) -> Value {
    json!({
        "code": failure.code.as_str(),
        "detail": failure.detail,
        "defects": failure.defects.iter().map(defect).collect::<Vec<_>>(),
    })
}

fn defect(defect: &Defect) -> Value {
    json!({
        "code": defect.code.as_str(),
        "rule": defect.rule,
        "path": defect.path,
        "line": defect.line,
        "column": defect.column,
        "value": defect.value,
        "expected": defect.expected,
    })
}

/// A group of error records.
pub(super) fn group(group: &GroupView) -> Value {
    json!({
        "group": group.group.to_string(),
        "code": group.group.code.as_str(),
        "rule": group.group.rule,
        "title": group.group.code.title(),
        "count": group.count,
        "first_at": group.first_at.to_string(),
        "last_at": group.last_at.to_string(),
        "sample": group.sample,
        "sample_error": group.sample_error.to_string(),
    })
}

/// A request.
pub(super) fn request(request: &RequestView) -> Value {
    json!({
        "id": request.id.to_string(),
        "sync_request": request.sync_request.as_ref().map(ToString::to_string),
        "service_point": request.service_point.as_ref().map(ToString::to_string),
        "kind": request.kind,
        "version": request.revision.version,
        "created_at": request.revision.created_at.map(|at| at.to_string()),
        "state": request.state,
        "edition": request.edition,
        "superseded_by": request.superseded_by.map(|id| id.to_string()),
        "answer_due": request.answer_due.map(|at| at.to_string()),
        "mapping": request.mapping,
        "told": request.told,
        "received_at": request.received_at.to_string(),
        "changed_at": request.changed_at.to_string(),
        "resends": request.resends,
        "error": request.error.map(|id| id.to_string()),
    })
}

/// A line of a timeline.
pub(super) fn journal(line: &JournalLine) -> Value {
    json!({ "at": line.at.to_string(), "kind": line.kind, "detail": line.detail })
}

/// An instant for a table: to the second, UTC.
pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// An instant of a timeline: to the millisecond, UTC.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A dash for what is not there.
pub(super) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "–".to_owned(), ToString::to_string)
}

/// What to try when the broker does not answer.
pub(super) const BROKER_HELP: &str =
    "`tieline doctor` looks at every side; `tieline config show` shows the address in force";

/// Prints the defects of a failure as a table.
pub(super) fn print_defects(failure: &Failure) {
    if failure.defects.is_empty() {
        return;
    }
    output::line("");
    let rows = failure.defects.iter().map(|defect| {
        let at = match (defect.line, defect.column) {
            (Some(line), Some(column)) => format!("{line}:{column}"),
            (Some(line), None) => line.to_string(),
            (None, _) => "–".to_owned(),
        };
        vec![
            defect.code.to_string(),
            or_dash(defect.path.as_ref()),
            at,
            or_dash(defect.value.as_ref()),
            defect.expected.clone(),
            or_dash(defect.rule.as_ref()),
        ]
    });
    output::table(
        &["code", "path", "line", "found", "expected", "rule"],
        rows.collect(),
        "no defects",
    );
}

/// Prints a failure: its defects, or its one sentence.
pub(super) fn print_failure(failure: &Failure) {
    if failure.defects.is_empty() {
        output::line(format_args!("{} {}", failure.code, output::plain(&failure.detail)));
    }
    print_defects(failure);
}

/// A mistake in a mapping.
pub(super) fn problem(problem: &Problem) -> Value {
    json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "help": problem.help,
    })
}
