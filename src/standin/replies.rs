//! What billing knows: what it sent, and what it was told. Pure; judges every reply by the wire.

use std::collections::HashMap;

use super::answers::key_of;
use super::history::{Event, History};
use super::plan::{Expectation, Planned};
use super::reading::Reading;
use super::tally::{Count, Live, Violation};
use crate::bridge::Arrival;
use crate::bridge::message::header;
use crate::domain::Digest;

/// The root of a reply.
const ROOT: &str = "F1-UpdateAndTransitionSyncRequest";
/// The namespace of replies.
const NAMESPACE: &str = "urn:tieline:ccb:sync-ack:1";

/// Billing's books.
#[derive(Debug, Default)]
pub(super) struct Replies {
    records: HashMap<String, Record>,
    /// By message id.
    seen: HashMap<String, Digest>,
    untold: u64,
}

/// A sync request. To billing it is one record, however often it is corrected.
#[derive(Debug, Default)]
struct Record {
    /// In the order in which they were sent.
    requests: Vec<Request>,
    /// Whether a publish was in doubt: then the bridge may have got them in another order.
    is_disordered: bool,
}

/// A request as sent: a sync request id with one content.
#[derive(Debug)]
struct Request {
    service_point: String,
    revision: u32,
    correlation: String,
    expectation: Expectation,
    told: u32,
}

/// A reply as read.
struct Reply<'a> {
    message: &'a str,
    correlation: &'a str,
    outcome: &'a str,
    sync_request: &'a str,
    is_negative: bool,
    reading: &'a Reading,
}

impl Replies {
    /// Notes a message before it is published, for its reply may overtake its confirm.
    pub(super) fn expect(&mut self, planned: &Planned) {
        if planned.expectation == Expectation::Nothing {
            return;
        }
        let record = self.records.entry(planned.sync_request.clone()).or_default();
        let before = record.is_untold();
        record.requests.push(Request {
            service_point: planned.service_point.clone(),
            revision: planned.revision,
            correlation: planned.correlation(),
            expectation: planned.expectation,
            told: 0,
        });
        self.untold = self.untold + u64::from(record.is_untold()) - u64::from(before);
    }

    /// Notes that a publish for a sync request was in doubt.
    pub(super) fn doubt(&mut self, sync_request: &str) {
        if let Some(record) = self.records.get_mut(sync_request) {
            let before = record.is_untold();
            record.is_disordered = true;
            self.untold = self.untold + u64::from(record.is_untold()) - u64::from(before);
        }
    }

    /// How many sync requests must be told of and were not yet.
    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    /// The first few sync requests that must be told of and were not yet.
    pub(super) fn untold_examples(&self, limit: usize) -> Vec<String> {
        let untold = self.records.iter().filter(|(_, record)| record.is_untold());
        let shown = untold.map(|(id, record)| {
            let revision = record.requests.last().map_or(0, |request| request.revision);
            format!("{id} revision {revision}")
        });
        let mut examples: Vec<_> = shown.collect();
        examples.sort_unstable();
        examples.truncate(limit);
        examples
    }

    /// Takes a reply.
    pub(super) fn take(&mut self, arrival: &Arrival, live: &Live, history: &History) {
        live.add(Count::Replies);
        let properties = &arrival.properties;
        let Some(message) = properties.message_id.as_deref() else {
            return live.violate(Violation::NoMessageId, format!("{properties:?}"));
        };
        let reading = match Reading::of(&arrival.payload) {
            Ok(reading) if reading.root == ROOT && reading.namespace == NAMESPACE => reading,
            Ok(other) => {
                let what = format!("{message}: root {{{}}}{}", other.namespace, other.root);
                return live.violate(Violation::Unreadable, what);
            }
            Err(why) => return live.violate(Violation::Unreadable, format!("{message}: {why}")),
        };
        let reply = Reply {
            message,
            correlation: properties.correlation_id.as_deref().unwrap_or_default(),
            outcome: properties.header(header::OUTCOME).unwrap_or_default(),
            sync_request: reading.first("syncRequestId").unwrap_or_default(),
            is_negative: matches!(reading.first("hasError"), Some("true" | "1")),
            reading: &reading,
        };
        let digest = Digest::of(&arrival.payload);
        let known = self.seen.insert(message.to_owned(), digest);
        reply.record(digest, known.is_some(), history);
        match known {
            Some(before) if before == digest => return live.add(Count::RepliesRepeated),
            Some(before) => {
                let what = format!("reply {message}: {before} then {digest}");
                return live.violate(Violation::MessageIdReused, what);
            }
            None => {}
        }
        let type_ = properties.content_type.as_deref();
        let sync_request = properties.header(header::SYNC_REQUEST);
        if type_ != Some("application/xml") || properties.delivery_mode != Some(2) {
            live.violate(Violation::Property, format!("reply {message}: {properties:?}"));
        } else if sync_request.is_some_and(|id| id != reply.sync_request) {
            let what =
                format!("reply {message}: header {sync_request:?}, body {}", reply.sync_request);
            live.violate(Violation::Property, what);
        }
        reply.judge(live);
        self.correlate(&reply, live);
    }

    fn correlate(&mut self, reply: &Reply<'_>, live: &Live) {
        let Some(record) = self.records.get_mut(reply.sync_request) else {
            let what = format!("reply {} names {}", reply.message, reply.sync_request);
            return live.violate(Violation::NeverSent, what);
        };
        let before = record.is_untold();
        let requests = &mut record.requests;
        let mine = |request: &Request| request.correlation == reply.correlation;
        // Contents that were sent without properties share one correlation: the first that was not
        // told of is meant, if the outcome suits it, for they are told of in their order.
        let untold = |request: &Request| mine(request) && request.told == 0;
        let suits = |request: &Request| request.is_good() == (reply.outcome != "parked");
        let at = requests.iter().position(|request| untold(request) && suits(request));
        let at = at.or_else(|| requests.iter().position(untold));
        let Some(at) = at.or_else(|| requests.iter().rposition(mine)) else {
            let what = format!(
                "reply {} to {} carries {}",
                reply.message, reply.sync_request, reply.correlation
            );
            return live.violate(Violation::Uncorrelated, what);
        };
        let request = &mut requests[at];
        request.told += 1;
        if request.told == 1 {
            live.add(Count::RequestsTold);
        }
        match reply.outcome {
            "parked" if request.is_good() => live.add(Count::GoodParked),
            "applied" if !request.is_good() => live.add(Count::BrokenApplied),
            _ => {}
        }
        if let Some(key) = reply.reading.first("externalPk1")
            && reply.outcome == "applied"
            && key_of(key).is_some_and(|service_point| service_point != request.service_point)
        {
            let what = format!(
                "reply {} to {}: key {key}, service point {}",
                reply.message, reply.sync_request, request.service_point
            );
            live.violate(Violation::KeyOfAnother, what);
        }
        self.untold = self.untold + u64::from(record.is_untold()) - u64::from(before);
    }
}

impl Record {
    /// Whether billing must hear about it and has not. Only what was sent last must be told of: it
    /// answers for what it corrected.
    fn is_untold(&self) -> bool {
        let Some(last) = self.requests.last() else { return false };
        // Without properties nobody can tell which content a reply is about.
        let counts =
            |request: &Request| self.is_disordered || request.correlation == last.correlation;
        let is_told = |request: &Request| request.told > 0 && counts(request);
        last.must_be_told() && !self.requests.iter().any(is_told)
    }
}

impl Request {
    fn is_good(&self) -> bool {
        self.expectation == Expectation::Delivered
    }

    fn must_be_told(&self) -> bool {
        matches!(self.expectation, Expectation::Delivered | Expectation::Parked(_))
    }
}

impl Reply<'_> {
    /// What the reply alone shows.
    fn judge(&self, live: &Live) {
        live.add(if self.is_negative { Count::Negative } else { Count::Positive });
        let says_negative = match self.outcome {
            "applied" => Some((Count::Applied, false)),
            "superseded" => Some((Count::Superseded, false)),
            "rejected" => Some((Count::Rejected, true)),
            "parked" => Some((Count::Parked, true)),
            "discarded" => Some((Count::Discarded, true)),
            _ => None,
        };
        let what = || {
            let sign = if self.is_negative { "negative" } else { "positive" };
            format!("reply {} to {}: {sign}, '{}'", self.message, self.sync_request, self.outcome)
        };
        match says_negative {
            Some((count, negative)) if negative == self.is_negative => live.add(count),
            Some(_) => live.violate(Violation::OutcomeContradictsBody, what()),
            None => live.violate(Violation::Property, what()),
        }
        let has_reason = self.reading.first("messageCategory").is_some()
            && self.reading.first("messageNumber").is_some();
        if self.is_negative && !has_reason {
            live.violate(Violation::NoReason, what());
        }
    }

    fn record(&self, digest: Digest, repeated: bool, history: &History) {
        if !history.is_kept() {
            return;
        }
        let of = |name| self.reading.first(name).unwrap_or_default();
        let reason = self.is_negative.then(|| {
            let parameter = of("messageParameterValue");
            format!("{}/{} {parameter}", of("messageCategory"), of("messageNumber"))
        });
        history.write(&Event::Reply {
            message: self.message,
            correlation: self.correlation,
            sync_request: self.sync_request,
            outcome: self.outcome,
            sign: if self.is_negative { "negative" } else { "positive" },
            digest: digest.to_string(),
            repeated,
            reason,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bridge::{HeaderValue, Properties};
    use crate::standin::history::tests::stopped_clock;
    use crate::standin::plan::{Kind, Style};

    struct Desk {
        replies: Replies,
        live: Live,
        history: History,
    }

    impl Desk {
        fn new(expected: &[Planned]) -> Self {
            let history = History::begin(None, Arc::new(stopped_clock())).unwrap();
            let mut replies = Replies::default();
            for planned in expected {
                replies.expect(planned);
            }
            Self { replies, live: Live::new(), history }
        }

        fn take(&mut self, arrival: &Arrival) {
            self.replies.take(arrival, &self.live, &self.history);
        }

        fn violated(&self) -> Vec<Violation> {
            let tally = self.live.tally("billing", crate::standin::Ended::Quiet);
            tally.violations.iter().map(|violated| violated.violation).collect()
        }
    }

    fn planned(revision: u32, style: Style, expectation: Expectation) -> Planned {
        Planned {
            place: 0,
            kind: Kind::Good,
            sync_request: "85810617092033".into(),
            service_point: "3996166619".into(),
            revision,
            expectation,
            style,
            payload: Vec::new(),
        }
    }

    fn reply(message: &str, to: &Planned, outcome: &str, body: &str) -> Arrival {
        let payload = format!(
            "<{ROOT} xmlns='{NAMESPACE}'><syncRequestId>{}</syncRequestId>{body}</{ROOT}>",
            to.sync_request
        );
        let properties = Properties {
            content_type: Some("application/xml".into()),
            delivery_mode: Some(2),
            message_id: Some(message.into()),
            correlation_id: Some(to.correlation()),
            headers: vec![(header::OUTCOME.into(), HeaderValue::Text(outcome.into()))],
            ..Properties::default()
        };
        Arrival { payload: payload.into_bytes(), properties }
    }

    const POSITIVE: &str = "<hasError>false</hasError><externalIds><entityIdList><items>\
        <entity>ASSET-LOCATION</entity><externalPk1>993996166619</externalPk1>\
        </items></entityIdList></externalIds>";
    const NEGATIVE: &str = "<hasError>true</hasError><exceptionInfo><items>\
        <messageCategory>11114</messageCategory><messageNumber>11001</messageNumber>\
        </items></exceptionInfo>";

    #[test]
    fn a_request_is_told_once_however_often_the_reply_comes() {
        let request = planned(1, Style::Full, Expectation::Delivered);
        let mut desk = Desk::new(std::slice::from_ref(&request));
        assert_eq!(desk.replies.untold_examples(5), ["85810617092033 revision 1"]);
        let arrival = reply("r1", &request, "applied", POSITIVE);
        desk.take(&arrival);
        desk.take(&arrival);
        assert_eq!((desk.replies.untold(), desk.violated()), (0, Vec::new()));
        assert_eq!(desk.live.count(Count::RepliesRepeated), 1);
        assert_eq!(desk.live.count(Count::Applied), 1);
        desk.take(&reply("r1", &request, "rejected", NEGATIVE));
        assert_eq!(desk.violated(), [Violation::MessageIdReused]);
    }

    #[test]
    fn contents_of_one_sync_request_are_told_apart_by_correlation() {
        let broken = Expectation::Parked(crate::domain::FailureCode::MissingField);
        for style in [Style::Full, Style::MessageId] {
            let first = planned(1, style, broken);
            let second = planned(2, style, Expectation::Delivered);
            let mut desk = Desk::new(&[first.clone(), second.clone()]);
            desk.take(&reply("r1", &first, "parked", NEGATIVE));
            assert_eq!(desk.replies.untold(), 1);
            desk.take(&reply("r2", &second, "applied", POSITIVE));
            assert_eq!((desk.replies.untold(), desk.violated()), (0, Vec::new()));
            assert_eq!(desk.live.count(Count::GoodParked), 0);
        }
    }

    #[test]
    fn without_properties_any_reply_may_be_about_the_correction() {
        let broken = Expectation::Parked(crate::domain::FailureCode::MissingField);
        let first = planned(1, Style::Bare, broken);
        let second = planned(2, Style::Bare, Expectation::Delivered);
        let mut desk = Desk::new(&[first, second.clone()]);
        desk.take(&reply("r1", &second, "applied", POSITIVE));
        assert_eq!((desk.replies.untold(), desk.violated()), (0, Vec::new()));
        assert_eq!(desk.live.count(Count::BrokenApplied), 0);
    }

    #[test]
    fn a_correction_answers_for_what_it_corrects() {
        let first = planned(1, Style::Full, Expectation::Delivered);
        let second = planned(2, Style::Full, Expectation::Delivered);
        let mut desk = Desk::new(&[first.clone(), second.clone()]);
        desk.take(&reply("r1", &first, "applied", POSITIVE));
        assert_eq!(desk.replies.untold(), 1);
        // Had a publish been in doubt, the first might have arrived last.
        desk.replies.doubt(&first.sync_request);
        assert_eq!(desk.replies.untold(), 0);
        let mut desk = Desk::new(&[first, second.clone()]);
        desk.take(&reply("r1", &second, "applied", POSITIVE));
        assert_eq!(desk.replies.untold(), 0);
    }

    #[test]
    fn a_reply_to_nobody_is_a_violation() {
        let request = planned(1, Style::Full, Expectation::Delivered);
        let mut desk = Desk::new(&[]);
        desk.take(&reply("r1", &request, "applied", POSITIVE));
        assert_eq!(desk.violated(), [Violation::NeverSent]);
        let mut desk = Desk::new(std::slice::from_ref(&request));
        desk.take(&reply("r1", &planned(9, Style::Full, request.expectation), "applied", POSITIVE));
        assert_eq!(desk.violated(), [Violation::Uncorrelated]);
    }

    #[test]
    fn a_reply_is_judged_by_what_it_says() {
        let request = planned(1, Style::Full, Expectation::Delivered);
        let other_key = POSITIVE.replace("993996166619", "990000000001");
        for (outcome, body, expected) in [
            ("applied", NEGATIVE, Violation::OutcomeContradictsBody),
            ("done", POSITIVE, Violation::Property),
            ("rejected", "<hasError>true</hasError>", Violation::NoReason),
            ("applied", &other_key, Violation::KeyOfAnother),
            ("applied", "<hasError>", Violation::Unreadable),
        ] {
            let mut desk = Desk::new(std::slice::from_ref(&request));
            desk.take(&reply("r1", &request, outcome, body));
            assert_eq!(desk.violated(), [expected]);
        }
    }
}
