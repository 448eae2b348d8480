//! A service point and the requests for it, as the scripts see them.
//!
//! The world holds what a store holds and asks the same rules; it decides nothing itself. A line
//! of a script is `NAME VERB [WORDS]`, or `wait TIME`:
//!
//! ```text
//! a arrives [sync=ID] [version=N] [created=HH:MM] [untranslatable]
//! a sent                      its message is on the way to the broker
//! a confirmed | failed | interrupted
//! a cut-off                   asset management's side is out for longer than park_after
//! a dead-lettered [edition=N]
//! a answered positive | negative [edition=N]
//! a times-out                 answer.timeout has passed
//! a resent [untranslatable]   billing sends the identical message again
//! a retry | discard | restore
//! ```

use jiff::{SignedDuration, Timestamp};
use tieline::domain::{
    Circumstances, Command, Digest, Event, Failure, FailureCode, Ignored, Neighbour, Outcome,
    Placing, Refused, RequestId, RetryPolicy, Revision, Sign, State, Step, SyncRequestId, Tell,
    Verdict,
};

const ANSWER_TIMEOUT: SignedDuration = SignedDuration::from_hours(4);

/// Three tries, 10 seconds apart, then 20.
const RETRY: RetryPolicy = RetryPolicy {
    tries_max: 3,
    delay_min: SignedDuration::from_secs(10),
    delay_max: SignedDuration::from_secs(60),
};

pub(super) struct World {
    now: Timestamp,
    /// In the order of arrival.
    requests: Vec<Request>,
    /// What happened in this step.
    log: Vec<String>,
}

struct Request {
    name: String,
    id: RequestId,
    sync: Option<SyncRequestId>,
    revision: Revision,
    state: State,
    /// How often it was translated for sending.
    edition: u16,
    attempted: bool,
    in_flight: bool,
    told: Option<Sign>,
}

impl World {
    pub(super) fn new() -> Self {
        let now = "2025-03-14T06:00:00Z".parse().unwrap();
        Self { now, requests: Vec::new(), log: Vec::new() }
    }

    /// Lets a line happen and tells how the requests react.
    pub(super) fn step(&mut self, line: &str) -> Result<String, String> {
        self.log.clear();
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["wait", span] => {
                let span: SignedDuration = span.parse().map_err(|error| format!("{error}"))?;
                self.now = self.now.checked_add(span).map_err(|error| format!("{error}"))?;
                self.log.push("time passes".to_owned());
            }
            [name, "arrives", words @ ..] => self.arrive(name, words)?,
            [name, verb, words @ ..] => {
                let at = self.find(name)?;
                self.happen(at, verb, words)?;
            }
            _ => return Err("expected NAME VERB".to_owned()),
        }
        Ok(self.log.join(" | "))
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let found = self.requests.iter().position(|request| request.name == name);
        found.ok_or_else(|| format!("no request '{name}' has arrived"))
    }

    fn happen(&mut self, at: usize, verb: &str, words: &[&str]) -> Result<(), String> {
        let (words, outdated) = match words {
            [words @ .., last] if last.starts_with("edition=") => {
                (words, *last != format!("edition={}", self.requests[at].edition))
            }
            words => (words, false),
        };
        let refused = || Failure::new(FailureCode::LocationRefused, "the broker refused it");
        let answer_due = self.now + ANSWER_TIMEOUT;
        let event = match (verb, words) {
            ("sent", []) if self.requests[at].in_flight => return Err("it is on its way".into()),
            ("sent", []) => {
                let State::Pending { .. } = self.requests[at].state else {
                    return Err("only what is pending is sent".to_owned());
                };
                self.requests[at].attempted = true;
                self.requests[at].in_flight = true;
                self.log.push("on its way".to_owned());
                return Ok(());
            }
            ("confirmed", []) => Event::Published(Outcome::Confirmed { answer_due }),
            ("failed", []) => Event::Published(Outcome::Failed(refused())),
            ("interrupted", []) => Event::Published(Outcome::Interrupted),
            ("cut-off", []) => Event::Outage(refused()),
            ("dead-lettered", []) => Event::DeadLettered(refused()),
            ("answered", ["positive"]) => Event::Answered(Verdict::Positive),
            ("answered", ["negative"]) => Event::Answered(Verdict::Negative),
            ("times-out", []) => Event::AnswerTimedOut,
            ("resent", []) => Event::Resent { translates: true },
            ("resent", ["untranslatable"]) => Event::Resent { translates: false },
            ("retry", []) => Event::Commanded(Command::Retry),
            ("discard", []) => Event::Commanded(Command::Discard),
            ("restore", []) => Event::Commanded(Command::Restore),
            _ => return Err("no such verb".to_owned()),
        };
        if let Event::Published(_) = event {
            self.requests[at].attempted = true;
        }
        self.take(at, &event, outdated);
        self.release(at);
        Ok(())
    }

    /// A request is born: placed among the others, or parked because it cannot be translated.
    fn arrive(&mut self, name: &str, words: &[&str]) -> Result<(), String> {
        let (request, translates) = Self::request(name, words)?;
        self.requests.push(request);
        let at = self.requests.len() - 1;
        let (step, overtakes) = if translates {
            let Placing { place, overtakes } =
                Placing::of(&self.requests[at].revision, &self.neighbours(at));
            let pending = State::Pending { tries: 0, due: self.now };
            let step = Step::Moved { to: pending, tell: Tell::Nobody };
            (place.amend(step, &State::Waiting, &self.circumstances(at, false)), overtakes)
        } else {
            let overtakes = Placing::of_untranslatable(&self.neighbours(at));
            (Step::Moved { to: State::Parked, tell: Tell::Billing }, overtakes)
        };
        self.enter(at, &step);
        self.overtake(&overtakes, at);
        Ok(())
    }

    fn request(name: &str, words: &[&str]) -> Result<(Request, bool), String> {
        let mut sync = Some(format!("85810617-{name}"));
        let mut revision = Revision::default();
        let mut translates = true;
        for word in words {
            match word.split_once('=') {
                Some(("sync", "none")) => sync = None,
                Some(("sync", id)) => sync = Some(id.to_owned()),
                Some(("version", number)) => revision.version = number.parse().ok(),
                Some(("created", time)) => {
                    let at = format!("2025-03-14T{time}:00Z").parse();
                    revision.created_at = Some(at.map_err(|error| format!("{error}"))?);
                }
                None if *word == "untranslatable" => translates = false,
                Some(_) | None => return Err(format!("'{word}' is not understood")),
            }
        }
        let request = Request {
            name: name.to_owned(),
            id: RequestId::derive(None, None, &Digest::of(name.as_bytes())),
            sync: sync.map(|id| SyncRequestId::new(&id)).transpose()?,
            revision,
            state: State::Waiting,
            edition: u16::from(translates),
            attempted: false,
            in_flight: false,
            told: None,
        };
        Ok((request, translates))
    }

    fn take(&mut self, at: usize, event: &Event, outdated: bool) {
        let around = self.circumstances(at, outdated);
        let step = self.requests[at].state.on(event, &around);
        if let Step::Moved { to: State::Applied, .. } = step
            && !(self.requests[at].state.is_under_way()
                || self.requests[at].state == State::Overdue)
        {
            let overtakes = Placing::of_applied(&self.requests[at].revision, &self.neighbours(at));
            self.enter(at, &step);
            self.overtake(&overtakes, at);
            return;
        }
        let Step::Moved { to: State::Pending { .. }, .. } = step else {
            self.enter(at, &step);
            return;
        };
        if let Event::Commanded(_) | Event::Resent { .. } = event {
            self.requests[at].edition += 1;
        }
        let request = &self.requests[at];
        let Placing { place, overtakes } = Placing::of(&request.revision, &self.neighbours(at));
        let step = place.amend(step, &request.state, &around);
        self.enter(at, &step);
        self.overtake(&overtakes, at);
    }

    fn overtake(&mut self, overtaken: &[RequestId], by: usize) {
        let by = self.requests[by].id;
        for id in overtaken {
            let at = self.requests.iter().position(|other| other.id == *id).unwrap();
            self.take(at, &Event::Overtaken { by }, false);
        }
    }

    fn enter(&mut self, at: usize, step: &Step) {
        let reaction = match step {
            Step::Moved { to, tell } => {
                let told = match tell {
                    Tell::Billing if self.requests[at].sync.is_some() => sign(to),
                    Tell::Billing | Tell::Nobody => None,
                };
                let state = self.describe(to);
                let request = &mut self.requests[at];
                request.state = *to;
                request.in_flight = false;
                request.told = told.or(request.told);
                told.map_or(state.clone(), |sign| format!("{state}; told {}", sign.as_str()))
            }
            Step::Repeated => match self.last_told(at) {
                Some(sign) => format!("repeated; told {} again", sign.as_str()),
                None => "repeated; nothing was told".to_owned(),
            },
            Step::Ignored(why) => format!("ignored: {}", ignored(*why)),
            Step::Refused(why) => format!("refused: {}", self.refused(*why)),
        };
        self.log.push(format!("{} {reaction}", self.requests[at].name));
    }

    /// What billing last heard about the sync request of a request.
    fn last_told(&self, at: usize) -> Option<Sign> {
        let request = &self.requests[at];
        let newest = self.requests.iter().rfind(|other| same_sync_request(request, other));
        newest.map_or(request.told, |newest| newest.told)
    }

    /// Lets the next one go when this one no longer holds the line.
    fn release(&mut self, at: usize) {
        if self.requests[at].state.is_under_way() {
            return;
        }
        let busy = self.requests.iter().any(|request| request.state.is_under_way());
        let waiting = self.requests.iter().position(|request| request.state == State::Waiting);
        if let (false, Some(next)) = (busy, waiting) {
            self.take(next, &Event::Turn, false);
        }
    }

    fn circumstances(&self, at: usize, outdated: bool) -> Circumstances {
        let request = &self.requests[at];
        let later = &self.requests[at + 1..];
        Circumstances {
            now: self.now,
            retry: RETRY,
            attempted: request.attempted,
            told: request.told,
            corrected: later.iter().any(|other| same_sync_request(request, other)),
            outdated,
        }
    }

    fn neighbours(&self, at: usize) -> Vec<Neighbour> {
        let others = self.requests.iter().enumerate().filter(|(other, _)| *other != at);
        let neighbours = others.map(|(index, other)| Neighbour {
            id: other.id,
            revision: other.revision,
            state: other.state,
            in_flight: other.in_flight,
            same_sync_request: same_sync_request(&self.requests[at], other),
            arrived_later: index > at,
        });
        neighbours.collect()
    }

    fn describe(&self, state: &State) -> String {
        match state {
            State::Pending { due, .. } if *due > self.now => {
                format!("pending; again +{:#}", due.duration_since(self.now))
            }
            State::Published { answer_due } => {
                format!("published; answer due +{:#}", answer_due.duration_since(self.now))
            }
            State::Superseded { by } => format!("superseded by {}", self.name(*by)),
            State::Waiting
            | State::Pending { .. }
            | State::Overdue
            | State::Applied
            | State::Rejected
            | State::Parked
            | State::Discarded => state.as_str().to_owned(),
        }
    }

    fn refused(&self, why: Refused) -> String {
        match why {
            Refused::NotParked => "not parked".to_owned(),
            Refused::NotDiscarded => "not discarded".to_owned(),
            Refused::Superseded { by } => format!("superseded by {}", self.name(by)),
        }
    }

    fn name(&self, id: RequestId) -> &str {
        &self.requests.iter().find(|request| request.id == id).unwrap().name
    }
}

fn same_sync_request(one: &Request, other: &Request) -> bool {
    one.sync.is_some() && one.sync == other.sync
}

/// Whether what billing hears of a state is good news.
fn sign(state: &State) -> Option<Sign> {
    match state {
        State::Applied | State::Superseded { .. } => Some(Sign::Positive),
        State::Rejected | State::Parked | State::Discarded => Some(Sign::Negative),
        State::Waiting | State::Pending { .. } | State::Published { .. } | State::Overdue => None,
    }
}

fn ignored(why: Ignored) -> &'static str {
    match why {
        Ignored::AlreadySettled => "already settled",
        Ignored::Contradiction => "contradiction",
        Ignored::NeverSent => "never sent",
        Ignored::Stale => "stale",
        Ignored::UnderWay => "under way",
    }
}
