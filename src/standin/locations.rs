//! What asset management knows: the asset locations that it received. Pure; judges every one by the
//! wire, and tells which are new.

use std::collections::{HashMap, HashSet};

use super::answers::{AnswerMix, Asked, Choice};
use super::history::{Event, History};
use super::reading::Reading;
use super::tally::{Count, Live, Violation};
use crate::bridge::message::header;
use crate::bridge::{Arrival, Properties};
use crate::domain::Digest;

/// The root of an asset location.
const ROOT: &str = "W1-SyncRequestInbound";
/// The namespace of asset locations.
const NAMESPACE: &str = "urn:tieline:wam:sync-inbound:1";

/// Asset management's books.
#[derive(Debug)]
pub(super) struct Locations {
    seed: u64,
    mix: AnswerMix,
    /// Where answers are expected, as `reply_to` must say.
    answer_queue: String,
    /// By message id.
    seen: HashMap<String, Digest>,
    /// Sync request, revision: what was put into effect.
    contents: HashSet<(String, u32)>,
    service_points: HashMap<String, ServicePoint>,
}

#[derive(Debug, Default)]
struct ServicePoint {
    /// The newest revision that was not refused.
    newest: u32,
    newest_refused: u32,
    /// The message that was not answered yet.
    open: Option<String>,
}

impl Locations {
    pub(super) fn new(seed: u64, mix: AnswerMix, answer_queue: &str) -> Self {
        Self {
            seed,
            mix,
            answer_queue: answer_queue.to_owned(),
            seen: HashMap::new(),
            contents: HashSet::new(),
            service_points: HashMap::new(),
        }
    }

    /// Takes an asset location; a new one is to be answered as chosen. One that came before has had
    /// its effect and its answer.
    pub(super) fn take(
        &mut self,
        arrival: &Arrival,
        live: &Live,
        history: &History,
    ) -> Option<(Asked, Choice)> {
        live.add(Count::Locations);
        let properties = &arrival.properties;
        let Some(message) = properties.message_id.clone() else {
            live.violate(Violation::NoMessageId, format!("{properties:?}"));
            return None;
        };
        let reading = match Reading::of(&arrival.payload) {
            Ok(reading) if reading.root == ROOT && reading.namespace == NAMESPACE => reading,
            Ok(other) => {
                let what = format!("{message}: root {{{}}}{}", other.namespace, other.root);
                live.violate(Violation::Unreadable, what);
                return None;
            }
            Err(why) => {
                live.violate(Violation::Unreadable, format!("{message}: {why}"));
                return None;
            }
        };
        let field = |name| reading.first(name).unwrap_or_default().to_owned();
        let asked = Asked {
            message,
            sync_request: field("externalReferenceId"),
            service_point: field("externalPkValue1"),
            // Somebody else's billing tells no revision.
            revision: reading.revision().unwrap_or(0),
        };
        let digest = Digest::of(&arrival.payload);
        let known = self.seen.insert(asked.message.clone(), digest);
        let choice = Choice::of(self.seed, &self.mix, &asked.sync_request, asked.revision);
        record(&asked, digest, known.is_none().then_some(choice), history);
        match known {
            Some(before) if before == digest => {
                live.add(Count::LocationsRepeated);
                None
            }
            Some(before) => {
                let what = format!("asset location {}: {before} then {digest}", asked.message);
                live.violate(Violation::MessageIdReused, what);
                None
            }
            None => {
                live.add(Count::LocationsNew);
                self.check_properties(&asked, properties, live);
                self.apply(&asked, choice, live);
                Some((asked, choice))
            }
        }
    }

    /// Notes that a message is about to be answered: from now on the bridge may send the next one.
    pub(super) fn conclude(&mut self, asked: &Asked) {
        if let Some(service_point) = self.service_points.get_mut(&asked.service_point)
            && service_point.open.as_deref() == Some(asked.message.as_str())
        {
            service_point.open = None;
        }
    }

    fn apply(&mut self, asked: &Asked, choice: Choice, live: &Live) {
        let content = (asked.sync_request.clone(), asked.revision);
        if !self.contents.insert(content) {
            live.add(Count::ContentsRepeated);
        }
        let service_point = self.service_points.entry(asked.service_point.clone()).or_default();
        if asked.revision < service_point.newest {
            let what = format!(
                "service point {}: revision {} ({}) after {}",
                asked.service_point, asked.revision, asked.message, service_point.newest
            );
            live.violate(Violation::OlderAfterNewer, what);
        } else if asked.revision < service_point.newest_refused {
            live.add(Count::OlderAfterRefused);
        }
        let refuses = choice.kind.refuses();
        let newest =
            if refuses { &mut service_point.newest_refused } else { &mut service_point.newest };
        *newest = asked.revision.max(*newest);
        if service_point.open.is_some() {
            live.add(Count::Overlapping);
        }
        service_point.open = choice.kind.concludes().then(|| asked.message.clone());
    }

    /// Checks what the contract says about the properties.
    fn check_properties(&self, asked: &Asked, properties: &Properties, live: &Live) {
        let header = |name| properties.header(name);
        let expected = [
            ("correlation_id", properties.correlation_id.as_deref(), &asked.message),
            ("reply_to", properties.reply_to.as_deref(), &self.answer_queue),
            (header::SYNC_REQUEST, header(header::SYNC_REQUEST), &asked.sync_request),
            (header::SERVICE_POINT, header(header::SERVICE_POINT), &asked.service_point),
        ];
        for (name, found, expected) in expected {
            if found != Some(expected.as_str()) {
                let what = format!(
                    "asset location {}: {name} {found:?}, expected {expected}",
                    asked.message
                );
                live.violate(Violation::Property, what);
            }
        }
        let type_ = properties.content_type.as_deref();
        let has_request = header(header::REQUEST).is_some();
        if type_ != Some("application/xml") || properties.delivery_mode != Some(2) || !has_request {
            let what = format!("asset location {}: {properties:?}", asked.message);
            live.violate(Violation::Property, what);
        }
    }
}

fn record(asked: &Asked, digest: Digest, choice: Option<Choice>, history: &History) {
    if history.is_kept() {
        history.write(&Event::Location {
            message: &asked.message,
            sync_request: &asked.sync_request,
            service_point: &asked.service_point,
            revision: asked.revision,
            digest: digest.to_string(),
            repeated: choice.is_none(),
            answer: choice.map(|choice| choice.kind.as_str()),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bridge::HeaderValue;
    use crate::standin::answers::AnswerKind;
    use crate::standin::history::tests::stopped_clock;

    struct Office {
        locations: Locations,
        live: Live,
        history: History,
    }

    impl Office {
        fn new(mix: AnswerMix) -> Self {
            let history = History::begin(None, Arc::new(stopped_clock())).unwrap();
            Self { locations: Locations::new(1, mix, "answers"), live: Live::new(), history }
        }

        fn take(&mut self, arrival: &Arrival) -> Option<(Asked, Choice)> {
            self.locations.take(arrival, &self.live, &self.history)
        }

        fn violated(&self) -> Vec<Violation> {
            let tally = self.live.tally("assets", crate::standin::Ended::Quiet);
            tally.violations.iter().map(|violated| violated.violation).collect()
        }
    }

    fn location(message: &str, revision: u32) -> Arrival {
        let text = |text: &str| HeaderValue::Text(text.to_owned());
        let headers = [(header::REQUEST, "r"), (header::SYNC_REQUEST, "8581")];
        let headers = headers.into_iter().chain([(header::SERVICE_POINT, "3996")]);
        let payload = format!(
            "<W1-SyncRequestInbound xmlns='{NAMESPACE}'><externalReferenceId>8581\
             </externalReferenceId><externalPkValue1>3996</externalPkValue1>\
             <location><description>Street light, pole, rev {revision}</description></location>\
             </W1-SyncRequestInbound>"
        );
        let properties = Properties {
            content_type: Some("application/xml".into()),
            delivery_mode: Some(2),
            message_id: Some(message.into()),
            correlation_id: Some(message.into()),
            reply_to: Some("answers".into()),
            headers: headers.map(|(name, value)| (name.to_owned(), text(value))).collect(),
            ..Properties::default()
        };
        Arrival { payload: payload.into_bytes(), properties }
    }

    #[test]
    fn a_repeat_has_no_effect_and_another_body_is_a_violation() {
        let mut office = Office::new(AnswerMix::POSITIVE);
        let (asked, choice) = office.take(&location("a", 7)).unwrap();
        assert_eq!((asked.sync_request.as_str(), asked.revision), ("8581", 7));
        assert_eq!(choice.kind, AnswerKind::Positive);
        assert_eq!(office.take(&location("a", 7)), None);
        assert_eq!(office.violated(), []);
        assert_eq!(office.take(&location("a", 8)), None);
        assert_eq!(office.violated(), [Violation::MessageIdReused]);
        assert_eq!(office.live.count(Count::LocationsNew), 1);
    }

    #[test]
    fn an_older_revision_must_not_follow_a_newer_one() {
        let mut office = Office::new(AnswerMix::POSITIVE);
        for (message, revision) in [("a", 1), ("b", 3), ("c", 3)] {
            let (asked, _) = office.take(&location(message, revision)).unwrap();
            office.locations.conclude(&asked);
        }
        assert_eq!(office.violated(), []);
        // A late repeat is no step back.
        office.take(&location("a", 1));
        assert_eq!(office.violated(), []);
        office.take(&location("d", 2));
        assert_eq!(office.violated(), [Violation::OlderAfterNewer]);
        assert_eq!(office.live.count(Count::Overlapping), 0);
        assert_eq!(office.live.count(Count::ContentsRepeated), 1);
    }

    #[test]
    fn an_older_revision_may_follow_one_that_was_refused() {
        let mut office = Office::new(AnswerMix { negative: 1.0, ..AnswerMix::POSITIVE });
        office.take(&location("a", 2));
        office.take(&location("b", 1));
        assert_eq!(office.violated(), []);
        assert_eq!(office.live.count(Count::OlderAfterRefused), 1);
        assert_eq!(office.live.count(Count::Overlapping), 1);
    }

    #[test]
    fn a_missing_property_is_a_violation() {
        let mut office = Office::new(AnswerMix::POSITIVE);
        let mut arrival = location("a", 1);
        arrival.properties.reply_to = None;
        office.take(&arrival);
        assert_eq!(office.violated(), [Violation::Property]);
        arrival.properties.message_id = None;
        assert_eq!(office.take(&arrival), None);
        assert_eq!(office.violated(), [Violation::NoMessageId, Violation::Property]);
    }
}
