//! What billing and asset management do, each by its own habits.

use tieline::bridge::{Arrival, Outgoing, Properties, What, intake};
use tieline::domain::{AnswerId, Digest, MessageId, Verdict};

use super::history::{Event, SentAnswer};
use super::script::{Behaviour, Queue, Shape};
use super::wire::returned;
use super::world::World;
use crate::support::{Refusal, negative, positive, request};

impl World<'_> {
    pub(super) fn send(
        &mut self,
        (sync, point): (u64, u64),
        (version, content): (u64, u64),
        shape: Shape,
    ) {
        let made = request(&name(sync), &format!("SP-{point}"));
        let made = match u32::try_from(version).unwrap() {
            0 => made.no_version(),
            version => made.version(version),
        };
        let made = made.description(&format!("content {content}"));
        let payload = match shape {
            Shape::Good => made.bytes(),
            Shape::Unmapped => made.unmapped().bytes(),
            Shape::NoXml => format!("no XML {sync} {content}").into_bytes(),
        };
        let properties = Properties {
            message_id: Some(format!("m-{sync}-{version}-{content}")),
            routing_key: "ccb.sp.sync".into(),
            ..Properties::default()
        };
        let arrival = Arrival { payload, properties };
        let id = intake::request(&self.transforms.current(), arrival.clone()).id;
        self.wire.state().arrive(Queue::Requests, arrival);
        self.note(Event::Sent { id });
    }

    pub(super) fn answer(&mut self, behaviour: Behaviour) {
        use Verdict::{Negative, Positive};
        let Some(location) = self.wire.state().locations.pop_front() else { return };
        let What::Location { sync_request, .. } = &location.what else { return };
        let (message, sync) = (Some(location.message_id), sync_request.to_string());
        match behaviour {
            Behaviour::Positive => self.say(message, &sync, Positive, ""),
            Behaviour::Negative => self.say(message, &sync, Negative, ""),
            Behaviour::Twice => {
                self.say(message, &sync, Positive, "");
                self.say(message, &sync, Positive, "");
            }
            Behaviour::Changes => {
                self.say(message, &sync, Negative, "");
                self.say(message, &sync, Positive, "");
            }
            Behaviour::Contradicts => {
                self.say(message, &sync, Positive, "");
                self.say(message, &sync, Negative, "");
            }
            Behaviour::ByBody => self.say(None, &sync, Positive, &of(&location)),
            Behaviour::NegativeByBody => self.say(None, &sync, Negative, &of(&location)),
            Behaviour::LatePositive => {
                self.late_answers.push(answer(message, &sync, Positive, ""));
            }
            Behaviour::LateNegative => {
                self.late_answers.push(answer(message, &sync, Negative, ""));
            }
            Behaviour::Never => {}
            Behaviour::Nonsense => {
                let properties = Properties {
                    correlation_id: Some(location.message_id.to_string()),
                    ..Properties::default()
                };
                let arrival = Arrival { payload: b"nonsense".to_vec(), properties };
                self.wire.state().arrive(Queue::Answers, arrival);
            }
            Behaviour::DeadLetters => {
                self.comes_back(&location, Queue::RequestErrors, "location.dead");
            }
        }
    }

    pub(super) fn say(
        &mut self,
        message: Option<MessageId>,
        sync: &str,
        verdict: Verdict,
        mark: &str,
    ) {
        let said = answer(message, sync, verdict, mark);
        self.send_answer(said);
    }

    pub(super) fn send_answer(&self, (arrival, answer): (Arrival, SentAnswer)) {
        self.wire.state().arrive(Queue::Answers, arrival);
        self.note(Event::AnswerSent { answer });
    }

    pub(super) fn late_answers_come(&mut self) {
        for said in std::mem::take(&mut self.late_answers) {
            self.send_answer(said);
        }
    }

    pub(super) fn comes_back(&mut self, message: &Outgoing, desk: Queue, key: &str) {
        self.wire.state().arrive(desk, returned(message, key));
        self.note(Event::CameBack { message: message.message_id });
    }

    pub(super) fn reply_returns(&mut self) {
        let last = self.wire.state().replies.last().cloned();
        if let Some(reply) = last {
            self.comes_back(&reply, Queue::AnswerErrors, "reply.dead");
        }
    }
}

pub(super) fn name(sync: u64) -> String {
    format!("8581061709{sync:04}")
}

/// Tells answers that name nobody apart by what they are about.
fn of(location: &Outgoing) -> String {
    location.message_id.to_string()
}

fn answer(
    message: Option<MessageId>,
    sync: &str,
    verdict: Verdict,
    mark: &str,
) -> (Arrival, SentAnswer) {
    let payload = match verdict {
        Verdict::Positive => positive(sync, &format!("KEY-{mark}")),
        Verdict::Negative => {
            let parameters: &[&str] = &[mark];
            negative(sync, Refusal { category: 11001, number: 305, parameters })
        }
    };
    let correlation_id = message.map(|message| message.to_string());
    let id = AnswerId::derive(correlation_id.as_deref(), &Digest::of(&payload));
    let properties = Properties { correlation_id, ..Properties::default() };
    let answer = SentAnswer { id, message, sync_request: sync.to_owned(), verdict };
    (Arrival { payload, properties }, answer)
}
