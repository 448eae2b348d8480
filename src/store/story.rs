//! What the journal says: one sentence for each change and each event that changed nothing.

use jiff::Timestamp;

use crate::bridge::ports::Operator;
use crate::domain::{
    Answer, Command, Entry, Event, Failure, Ignored, Outcome, State, Translation, Verdict,
};

/// What an event does not say itself but the journal, the error record or the reply needs.
#[derive(Clone, Copy)]
pub(super) enum With<'a> {
    Nothing,
    Answer(&'a Answer),
    Operator(&'a Operator),
}

/// The line of a move.
pub(super) fn of_move(event: &Event, with: With<'_>, (from, to): (&State, &State)) -> Entry {
    let entry = |kind, detail: String| Entry { kind, detail };
    match (to, event) {
        (State::Superseded { by }, Event::Overtaken { .. }) => {
            entry("superseded", format!("request {by} takes its place"))
        }
        (State::Superseded { by }, _) => {
            entry("superseded", format!("request {by} is newer and under way or done"))
        }
        (State::Parked, Event::Commanded(_)) => entry("restored", by(with)),
        (State::Parked, event) => {
            entry("parked", failure_of(event).map(sentence).unwrap_or_default())
        }
        (State::Waiting, Event::Commanded(_)) => {
            entry("retried", format!("{}; it waits for its turn", by(with)))
        }
        (State::Waiting, _) => entry("waiting", "another of its service point is under way".into()),
        (State::Pending { .. }, Event::Commanded(_)) => entry("retried", by(with)),
        (State::Pending { .. }, Event::Resent { .. }) => {
            entry("retried", "billing sent it again: it goes out once more".into())
        }
        (State::Pending { .. }, Event::Turn) => entry("pending", "its turn has come".into()),
        (State::Pending { due, .. }, Event::Published(Outcome::Failed(failure))) => {
            entry("failed", format!("{}; next try at {}", sentence(failure), second(*due)))
        }
        (State::Pending { .. }, _) => entry("interrupted", "it goes back to wait".into()),
        (State::Published { .. }, _) => entry("confirmed", "the broker has it".into()),
        (State::Overdue, _) => entry("overdue", overdue(from)),
        (State::Applied, _) => entry("answered", format!("{}; applied", answer(with))),
        (State::Rejected, _) => entry("answered", format!("{}; rejected", answer(with))),
        (State::Discarded, _) => entry("discarded", by(with)),
    }
}

fn overdue(from: &State) -> String {
    match from {
        State::Published { answer_due } => format!("no answer came until {}", second(*answer_due)),
        _ => "no answer came in time".to_owned(),
    }
}

/// The line of an event that changed nothing.
pub(super) fn of_ignored(event: &Event, with: With<'_>, why: Ignored) -> Entry {
    let what = match event {
        Event::Published(Outcome::Confirmed { .. }) => "the broker confirmed it".to_owned(),
        Event::Published(Outcome::Failed(failure)) | Event::Outage(failure) => sentence(failure),
        Event::Published(Outcome::Interrupted) => "an attempt was cut short".to_owned(),
        Event::DeadLettered(failure) => sentence(failure),
        Event::Answered(_) => answer(with),
        Event::AnswerTimedOut => "the answer is overdue".to_owned(),
        Event::Turn => "its turn has come".to_owned(),
        Event::Overtaken { by } => format!("request {by} is newer"),
        Event::Resent { .. } => return Entry::new("resent", "billing sent it again: under way"),
        Event::Commanded(_) => by(with),
    };
    Entry::new("ignored", format!("{what}: {}", reason(why)))
}

fn reason(why: Ignored) -> &'static str {
    match why {
        Ignored::AlreadySettled => "it is settled already",
        Ignored::Contradiction => "that contradicts what billing was told",
        Ignored::NeverSent => "it was never handed over",
        Ignored::Stale => "something else settled it meanwhile",
        Ignored::UnderWay => "it is under way",
    }
}

/// The line that follows a birth with a translation.
pub(super) fn of_translation(translation: &Translation) -> Entry {
    let Translation { kind, mapping, passes, .. } = translation;
    let passed = match passes {
        0 => String::new(),
        n => format!(", {n} values passed through unmapped"),
    };
    let detail = format!("{} by mapping {mapping}{passed}", kind.as_str());
    Entry { kind: "translated", detail }
}

pub(super) fn of_command(command: Command, operator: &Operator) -> Entry {
    let kind = match command {
        Command::Retry => "retried",
        Command::Discard => "discarded",
        Command::Restore => "restored",
    };
    Entry::new(kind, by(With::Operator(operator)))
}

/// The failure that an event carries.
pub(super) fn failure_of(event: &Event) -> Option<&Failure> {
    match event {
        Event::Published(Outcome::Failed(failure))
        | Event::Outage(failure)
        | Event::DeadLettered(failure) => Some(failure),
        Event::Published(Outcome::Confirmed { .. } | Outcome::Interrupted)
        | Event::Answered(_)
        | Event::AnswerTimedOut
        | Event::Turn
        | Event::Overtaken { .. }
        | Event::Resent { .. }
        | Event::Commanded(_) => None,
    }
}

/// A time for people: to the second.
pub(super) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn sentence(failure: &Failure) -> String {
    format!("{} {}", failure.code, failure.detail)
}

fn by(with: With<'_>) -> String {
    match with {
        With::Operator(Operator { name, reason }) if reason.is_empty() => format!("by {name}"),
        With::Operator(Operator { name, reason }) => format!("by {name}: {reason}"),
        With::Nothing | With::Answer(_) => String::new(),
    }
}

fn answer(with: With<'_>) -> String {
    let With::Answer(answer) = with else { return String::new() };
    let word = match answer.verdict {
        Verdict::Positive => "positively",
        Verdict::Negative => "negatively",
    };
    let keys = answer.keys.iter().map(|key| format!("{} {}", key.entity, key.value));
    let numbers = answer.exceptions.iter().map(|it| format!("{}/{}", it.category, it.number));
    let said: Vec<_> = keys.chain(numbers).collect();
    let between = if said.is_empty() { "" } else { ": " };
    format!("asset management answered {word}{between}{}", said.join(", "))
}
