//! Sends rows as billing would, one after the other to one bridge, and compares what came of each.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

use super::measure::{Cost, GOOD_MAX, Used, tell};
use super::table::{End, Row, Told};
use crate::support::{Bridge, Message, Request, Site, positive, queue, request};

/// What was seen of a row.
struct Seen {
    sent: Vec<u8>,
    good: String,
    /// The error record that was noted, if it was parked.
    error: Option<String>,
    complaints: Vec<String>,
}

/// Sends every row and then a good message, and fails with all that is wrong.
#[track_caller]
pub(super) fn hold(site: &Site, bridge: &Bridge, rows: &[Row]) {
    site.tap_errors();
    let mut most = Cost::default();
    let mut seen = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let before = Used::by(bridge);
        let mut one = send(site, number, row);
        let cost = Used::by(bridge).since(before);
        tell(row.name, cost);
        one.complaints.extend(cost.complaint());
        most = most.or_more(cost);
        seen.push(one);
    }
    tell("the most of a row", most);
    let errors = site.errors().into_iter();
    let errors: HashMap<String, Value> =
        errors.map(|error| (error["id"].as_str().unwrap().to_owned(), error)).collect();
    let mut wrong = Vec::new();
    for (row, mut seen) in rows.iter().zip(seen) {
        seen.compare_error(row, &errors);
        wrong.extend(seen.complaints.iter().map(|complaint| format!("{}: {complaint}", row.name)));
    }
    let parked = rows.iter().filter(|row| matches!(row.end, End::Parked { .. })).count();
    if parked != errors.len() {
        wrong.push(format!("{} error records, expected {parked}", errors.len()));
    }
    for word in ["panicked", "interrupted"] {
        if let Some(line) = bridge.last_logged(&[word]) {
            wrong.push(format!("line {line} of the bridge's log says '{word}'"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn send(site: &Site, number: usize, row: &Row) -> Seen {
    let bad = request(&format!("B{number}"), &format!("7{number}"));
    let next = request(&format!("G{number}"), &format!("8{number}"));
    let sent = row.bytes(&bad.text());
    site.client.publish(queue::REQUEST, &sent, row.properties.clone());
    let start = Instant::now();
    site.send(&next);
    let locations = answered_up_to(site, &next);
    let replies = replies_up_to(site, &next);
    let took = start.elapsed();
    let mut complaints = Vec::new();
    if took > GOOD_MAX {
        complaints.push(format!("the good message behind it took {took:?}"));
    }
    let error = match (&row.end, locations.as_slice()) {
        (End::Accepted(path, text), [location]) => {
            let found = location.at(path);
            if found != *text {
                complaints.push(format!("{path} is '{found}', expected '{text}'"));
            }
            None
        }
        (End::Accepted(..), []) => {
            complaints.push(format!("it was not accepted: {:?}", noted(site)));
            None
        }
        (End::Parked { .. }, []) => Some(noted(site)),
        (_, some) => {
            complaints.push(format!("{} asset locations came of it", some.len()));
            None
        }
    };
    complaints.extend(compare_replies(&bad, row, &replies));
    let code = error.as_ref().map(|(code, _)| code.clone());
    if let (Some(found), End::Parked { code, .. }) = (code, &row.end)
        && found != *code
    {
        complaints.push(format!("parked with {found}, expected {code}"));
    }
    let error = error.map(|(_, id)| id);
    Seen { sent, good: bad.text(), error, complaints }
}

/// Answers every asset location positively up to that of the good request; returns those before.
fn answered_up_to(site: &Site, good: &Request) -> Vec<Message> {
    let mut before = Vec::new();
    loop {
        let location = site.client.next(queue::LOCATION);
        let id = location.sync_request();
        site.answer(&location, &positive(&id, &format!("KEY-{id}")));
        if id == good.id {
            return before;
        }
        before.push(location);
    }
}

/// The replies before that to the good request, which must be positive.
fn replies_up_to(site: &Site, good: &Request) -> Vec<Message> {
    let mut before = Vec::new();
    loop {
        let reply = site.client.next(queue::REPLY);
        if reply.sync_request() == good.id {
            assert!(reply.is_positive(), "{}", reply.text());
            return before;
        }
        before.push(reply);
    }
}

/// Code and id of the next error record that is noted.
fn noted(site: &Site) -> (String, String) {
    let note = site.client.next(queue::TAP);
    (note.header("tieline-code").unwrap(), note.header("tieline-error").unwrap())
}

fn compare_replies(bad: &Request, row: &Row, replies: &[Message]) -> Option<String> {
    let told: Vec<_> =
        replies.iter().map(|reply| (reply.sync_request(), reply.is_positive())).collect();
    let expected = match row.end {
        End::Accepted(..) => vec![(bad.id.clone(), true)],
        End::Parked { told: Told::Billing, .. } => vec![(bad.id.clone(), false)],
        End::Parked { told: Told::Nobody, .. } => Vec::new(),
    };
    let alike = |(told, expected): (&(String, bool), &(String, bool))| {
        // A row may have put something in front of its id.
        told.0.ends_with(&expected.0) && told.1 == expected.1
    };
    let same = told.len() == expected.len() && told.iter().zip(&expected).all(alike);
    (!same).then(|| format!("billing was told {told:?}, expected {expected:?}"))
}

impl Seen {
    fn compare_error(&mut self, row: &Row, errors: &HashMap<String, Value>) {
        let (End::Parked { place, .. }, Some(id)) = (&row.end, &self.error) else { return };
        match errors.get(id) {
            Some(error) => {
                let wrong = place.check(&self.sent, &self.good, error);
                self.complaints.extend(wrong.map(|wrong| format!("defect {wrong}")));
            }
            None => self.complaints.push(format!("no open error record {id}")),
        }
    }
}
