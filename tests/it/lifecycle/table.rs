//! Every pair of a state and an event, tried out. The table in `docs/lifecycle.md` is what the
//! code says; it is recorded like a script.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use tieline::domain::{
    Circumstances, Command, Digest, Event, Failure, FailureCode, Ignored, Outcome, Refused,
    RequestId, RetryPolicy, Sign, State, Step, Tell, Verdict,
};

use crate::golden;

const PAGE: &str = "docs/lifecycle.md";
const BEGIN: &str = "<!-- table of tests/it/lifecycle/table.rs -->\n";
const END: &str = "<!-- end of table -->\n";

fn newer() -> RequestId {
    RequestId::derive(None, None, &Digest::of(b"newer"))
}

fn states() -> Vec<State> {
    let at = Timestamp::UNIX_EPOCH;
    vec![
        State::Waiting,
        State::Pending { tries: 0, due: at },
        State::Published { answer_due: at },
        State::Overdue,
        State::Applied,
        State::Rejected,
        State::Parked,
        State::Superseded { by: newer() },
        State::Discarded,
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    let failure = || Failure::new(FailureCode::LocationRefused, "refused");
    let confirmed = Outcome::Confirmed { answer_due: Timestamp::MAX };
    vec![
        ("broker confirms", Event::Published(confirmed)),
        ("attempt fails", Event::Published(Outcome::Failed(failure()))),
        ("attempt is interrupted", Event::Published(Outcome::Interrupted)),
        ("outage exceeds `park_after`", Event::Outage(failure())),
        ("location is dead-lettered", Event::DeadLettered(failure())),
        ("positive answer", Event::Answered(Verdict::Positive)),
        ("negative answer", Event::Answered(Verdict::Negative)),
        ("`answer.timeout` passes", Event::AnswerTimedOut),
        ("its turn comes", Event::Turn),
        ("a newer one overtakes", Event::Overtaken { by: newer() }),
        ("identical resend, translates", Event::Resent { translates: true }),
        ("identical resend, does not", Event::Resent { translates: false }),
        ("operator retries", Event::Commanded(Command::Retry)),
        ("operator discards", Event::Commanded(Command::Discard)),
        ("operator restores", Event::Commanded(Command::Restore)),
    ]
}

fn policy(tries_max: u32) -> RetryPolicy {
    let delay_min = SignedDuration::from_secs(1);
    RetryPolicy { tries_max, delay_min, delay_max: SignedDuration::from_secs(60) }
}

/// Every surrounding that a rule asks about.
fn surroundings() -> Vec<Circumstances> {
    let mut all = Vec::new();
    for tries_max in [1, 5] {
        for attempted in [false, true] {
            for told in [None, Some(Sign::Positive), Some(Sign::Negative)] {
                for corrected in [false, true] {
                    for outdated in [false, true] {
                        let (now, retry) = (Timestamp::UNIX_EPOCH, policy(tries_max));
                        all.push(Circumstances {
                            now,
                            retry,
                            attempted,
                            told,
                            corrected,
                            outdated,
                        });
                    }
                }
            }
        }
    }
    all
}

fn each(mut look: impl FnMut(&State, &Event, &Circumstances, Step)) {
    for state in states() {
        for (_, event) in events() {
            for around in surroundings() {
                look(&state, &event, &around, state.on(&event, &around));
            }
        }
    }
}

#[test]
fn what_is_superseded_or_applied_never_changes() {
    each(|state, event, _, step| match state {
        State::Superseded { .. } | State::Applied => {
            assert!(!matches!(step, Step::Moved { .. }), "{state:?} on {event:?}: {step:?}");
        }
        _ => {}
    });
}

#[test]
fn what_is_rejected_or_discarded_changes_only_by_the_truth_or_by_a_person() {
    each(|state, event, _, step| {
        let Step::Moved { to, .. } = step else { return };
        let allowed = match state {
            State::Rejected => *event == Event::Answered(Verdict::Positive),
            State::Discarded => match event {
                Event::Answered(Verdict::Positive) => to == State::Applied,
                Event::Commanded(Command::Restore) => to == State::Parked,
                _ => false,
            },
            _ => true,
        };
        assert!(allowed, "{state:?} on {event:?} moved to {to:?}");
    });
}

#[test]
fn billing_is_told_of_every_end_and_of_nothing_else() {
    each(|state, event, around, step| {
        let Step::Moved { to, tell } = step else { return };
        let ends = match to {
            State::Waiting | State::Pending { .. } | State::Published { .. } | State::Overdue => {
                false
            }
            State::Applied | State::Rejected | State::Superseded { .. } => true,
            State::Parked => *state != State::Discarded,
            State::Discarded => around.told != Some(Sign::Negative),
        };
        let told = tell == Tell::Billing;
        assert_eq!(told, ends && !around.corrected, "{state:?} on {event:?}, {around:?}");
    });
}

#[test]
fn an_answer_moves_only_what_was_sent() {
    each(|state, event, around, step| {
        if matches!(event, Event::Answered(_)) && !around.attempted {
            assert_eq!(step, Step::Ignored(Ignored::NeverSent), "{state:?} on {event:?}");
        }
    });
}

#[test]
fn what_speaks_of_an_older_edition_moves_a_request_to_applied_or_not_at_all() {
    each(|state, event, around, step| {
        if around.outdated && matches!(event, Event::Answered(_) | Event::DeadLettered(_)) {
            let Step::Moved { to, .. } = step else { return };
            assert_eq!(to, State::Applied, "{state:?} on {event:?}");
        }
    });
}

#[test]
fn only_a_command_is_refused_and_no_command_is_ignored() {
    each(|state, event, _, step| {
        let command = matches!(event, Event::Commanded(_));
        let fits = match step {
            Step::Moved { .. } => true,
            Step::Refused(_) => command,
            Step::Ignored(_) | Step::Repeated => !command,
        };
        assert!(fits, "{state:?} on {event:?}: {step:?}");
    });
}

#[test]
fn the_table_in_the_docs_is_what_the_code_does() {
    let page = golden::read(PAGE);
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    golden::compare(PAGE, &wanted).unwrap_or_else(|error| panic!("{error}"));
}

fn table() -> String {
    let states = states();
    let mut text = String::from("| event |");
    for state in &states {
        write!(text, " {} |", state.as_str()).unwrap();
    }
    writeln!(text, "\n|---|{}", "---|".repeat(states.len())).unwrap();
    for (name, event) in events() {
        write!(text, "| {name} |").unwrap();
        for state in &states {
            write!(text, " {} |", cell(state, &event)).unwrap();
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// What a request does that was sent and about which billing heard nothing yet.
fn cell(state: &State, event: &Event) -> String {
    let around = |tries_max| Circumstances {
        now: Timestamp::UNIX_EPOCH,
        retry: policy(tries_max),
        attempted: true,
        told: None,
        corrected: false,
        outdated: false,
    };
    let first = describe(&state.on(event, &around(5)));
    let last = describe(&state.on(event, &around(1)));
    if first == last { first } else { format!("{first}; last try: {last}") }
}

fn describe(step: &Step) -> String {
    match step {
        Step::Moved { to, tell: Tell::Nobody } => to.as_str().to_owned(),
        Step::Moved { to, tell: Tell::Billing } => format!("**{}**", to.as_str()),
        Step::Repeated => "*reply again*".to_owned(),
        Step::Ignored(Ignored::Stale | Ignored::AlreadySettled | Ignored::UnderWay) => "–".into(),
        Step::Ignored(Ignored::Contradiction | Ignored::NeverSent) => "error queue".to_owned(),
        Step::Refused(Refused::NotParked | Refused::NotDiscarded | Refused::Superseded { .. }) => {
            "refused".to_owned()
        }
    }
}
