//! The only place that prints. Text that came in messages is stripped of what a terminal would
//! obey.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints a line to standard output. A reader that went away (`| head`) is no error.
pub(super) fn line(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}"));
}

/// Prints bytes to standard output as they are.
pub(super) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Prints a line to standard error.
pub(super) fn note(text: impl std::fmt::Display) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Prints a JSON value on one line.
pub(super) fn json(value: &Value) {
    line(value);
}

/// Prints a table: its head, its rows, and nothing when there are no rows but a sentence.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>, nothing: &str) {
    if rows.is_empty() {
        return line(nothing);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    // A terminal's edge is margin enough.
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    for row in table.lines() {
        line(row.trim_end());
    }
}

/// Prints pairs, the names in a column.
pub(super) fn pairs(pairs: &[(&str, String)]) {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in pairs {
        line(format_args!("{name:width$}  {}", plain(value)));
    }
}

/// The text without control characters: what came from outside must not move the cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Shortens a text to so many characters.
pub(super) fn short(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let cut: String = text.chars().take(length.saturating_sub(1)).collect();
    format!("{cut}…")
}

/// Asks yes or no on a terminal. Without a terminal nobody can answer, and the answer is `None`.
pub(super) fn confirm(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let mut err = std::io::stderr().lock();
    drop(write!(err, "{question} [y/N] ").and_then(|()| err.flush()));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// One of a thing or many: `plural(1, "record", "records")`.
pub(super) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
