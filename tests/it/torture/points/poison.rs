//! What lapin cannot read: sent beside both systems, and told to the judge as if they had sent it.

use tieline::domain::Digest;

use crate::support::{Raw, Site, queue, request};
use crate::torture::evidence::{Assets, Billing, Evidence, Sending};

/// A correlation id in ISO-8859-1.
const PROPERTIES: &[u8] = b"\x04\0\x04caf\xe9";

/// Under which code such a request is parked.
const CODE: &str = "TL1007";

/// Billing's messages count from 0.
const FIRST_PLACE: u64 = 1_000_000;

/// What stand-ins call a reply about a request that they did not send.
const NEVER_SENT: &str = "never_sent";

/// All that was sent.
#[derive(Default)]
pub(super) struct Poison {
    requests: Vec<Sending>,
    answers: u64,
}

impl Poison {
    /// Sends one more to a queue.
    pub(super) fn send(&mut self, site: &Site, to: &str) {
        let mut raw = Raw::connect(&site.url);
        if to == queue::ANSWER {
            self.answers += 1;
            raw.publish(to, PROPERTIES, format!("answer {}", self.answers).as_bytes());
            return;
        }
        let number = self.requests.len() as u64 + 1;
        let (sync_request, service_point) = (format!("X{number}"), format!("Y{number}"));
        let body = request(&sync_request, &service_point).bytes();
        raw.publish(to, PROPERTIES, &body);
        self.requests.push(Sending {
            place: FIRST_PLACE + number,
            sync_request,
            service_point,
            revision: 1,
            digest: Digest::of(&body).to_string(),
            code: Some(CODE.to_owned()),
        });
    }

    /// Adds to the evidence what was sent. That billing's stand-in knows nothing of it is no fault of
    /// the bridge, as far as that goes.
    pub(super) fn add_to(self, evidence: &mut Evidence) {
        let [billing, _] = &mut evidence.tallies;
        *billing.counts.entry("confirmed".to_owned()).or_default() += self.requests.len() as u64;
        let is_ours =
            |reply: &str| self.requests.iter().any(|request| request.sync_request == reply);
        let mut told: Vec<_> = evidence.billing.iter().filter_map(reply).collect();
        told.retain(|(_, sync_request)| is_ours(sync_request));
        told.sort_unstable();
        told.dedup();
        billing.violations.retain(|it| it["violation"] != NEVER_SENT || it["count"] != told.len());
        for sending in self.requests {
            let place = sending.place;
            evidence.billing.extend([Billing::Sending(sending), Billing::Sent { place }]);
        }
        let answered = |_| Assets::Answered { says: "unreadable".to_owned() };
        evidence.assets.extend((0..self.answers).map(answered));
    }
}

/// The message id of a reply, and what it is about.
fn reply(event: &Billing) -> Option<(&str, &str)> {
    match event {
        Billing::Reply(reply) => Some((&reply.message, &reply.sync_request)),
        Billing::Sending(_) | Billing::Sent { .. } | Billing::Unknown {} => None,
    }
}
