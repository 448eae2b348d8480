//! The checker against a small world in which everything is right, and against the same world with
//! one fault planted at a time.

use std::collections::{BTreeMap, HashSet};

use tieline::domain::{Digest, RequestId, SyncRequestId};

use super::checker::{Rule, check};
use super::evidence::{
    Assets, Billing, Doubts, Evidence, Group, Location, OpenError, Reply, Row, Sending,
};

/// One request and what came of it.
#[derive(Clone, Copy)]
struct Case {
    sync_request: &'static str,
    service_point: &'static str,
    revision: u32,
    code: Option<&'static str>,
    answer: Option<&'static str>,
    says: &'static [&'static str],
    state: &'static str,
    told: &'static [&'static str],
}

const APPLIED: Case = Case {
    sync_request: "S1",
    service_point: "P1",
    revision: 1,
    code: None,
    answer: Some("positive"),
    says: &["positive"],
    state: "applied",
    told: &["applied"],
};

/// A service point of its own for each, but for the one that is superseded by the next.
const CASES: [Case; 10] = [
    APPLIED,
    Case {
        answer: Some("negative"),
        says: &["negative"],
        state: "rejected",
        told: &["rejected"],
        ..case("S2", "P2", 1)
    },
    Case {
        answer: Some("negative_then_positive"),
        says: &["negative", "positive"],
        told: &["rejected", "applied"],
        ..case("S3", "P3", 1)
    },
    Case {
        answer: Some("positive_then_negative"),
        says: &["positive", "negative"],
        ..case("S4", "P4", 1)
    },
    Case {
        code: Some("TL2002"),
        answer: None,
        says: &[],
        state: "parked",
        told: &["parked"],
        ..case("S5", "P5", 1)
    },
    Case {
        answer: None,
        says: &[],
        state: "superseded",
        told: &["superseded"],
        ..case("S6", "P6", 1)
    },
    case("S7", "P6", 2),
    Case { answer: Some("silent"), says: &[], state: "overdue", told: &[], ..case("S8", "P8", 1) },
    Case {
        answer: Some("malformed"),
        says: &["nonsense"],
        state: "overdue",
        told: &[],
        ..case("S9", "P9", 1)
    },
    // A correction of the first.
    case("S1", "P1", 2),
];

/// The one that cannot be translated.
const BROKEN: Case = CASES[4];

const fn case(sync_request: &'static str, service_point: &'static str, revision: u32) -> Case {
    Case { sync_request, service_point, revision, ..APPLIED }
}

impl Case {
    fn digest(&self) -> Digest {
        Digest::of(format!("{} {}", self.sync_request, self.revision).as_bytes())
    }

    fn id(&self) -> RequestId {
        RequestId::derive(SyncRequestId::new(self.sync_request).ok().as_ref(), None, &self.digest())
    }

    fn reply(&self, number: u16, outcome: &str) -> Billing {
        let is_positive = matches!(outcome, "applied" | "superseded");
        Billing::Reply(Reply {
            message: self.id().reply(number).to_string(),
            correlation: format!("ccb-{}-{}", self.sync_request, self.revision),
            sync_request: self.sync_request.to_owned(),
            outcome: outcome.to_owned(),
            sign: if is_positive { "positive" } else { "negative" }.to_owned(),
            digest: format!("{outcome} {number}"),
        })
    }

    fn location(&self, answer: Option<&str>) -> Assets {
        Assets::Location(Location {
            message: self.id().location(1).to_string(),
            sync_request: self.sync_request.to_owned(),
            service_point: self.service_point.to_owned(),
            revision: self.revision,
            digest: "a body".to_owned(),
            answer: answer.map(str::to_owned),
        })
    }

    fn row(&self) -> Row {
        let sign = |told: &&str| match *told {
            "applied" | "superseded" => "positive".to_owned(),
            _ => "negative".to_owned(),
        };
        Row {
            id: self.id().to_string(),
            sync_request: Some(self.sync_request.to_owned()),
            service_point: Some(self.service_point.to_owned()),
            state: self.state.to_owned(),
            superseded_by: (self.state == "superseded").then(|| CASES[6].id().to_string()),
            told: self.told.last().map(sign),
            resends: 0,
            received_at: String::new(),
        }
    }

    fn add_to(&self, evidence: &mut Evidence) {
        let place = evidence.requests.len() as u64;
        evidence.billing.push(Billing::Sending(Sending {
            place,
            sync_request: self.sync_request.to_owned(),
            service_point: self.service_point.to_owned(),
            revision: self.revision,
            digest: self.digest().to_string(),
            code: self.code.map(str::to_owned),
        }));
        evidence.billing.push(Billing::Sent { place });
        evidence.billing.extend((1..).zip(self.told).map(|(n, told)| self.reply(n, told)));
        evidence.assets.extend(self.answer.map(|answer| self.location(Some(answer))));
        let answered = |says: &&str| Assets::Answered { says: (*says).to_owned() };
        evidence.assets.extend(self.says.iter().map(answered));
        evidence.requests.push(self.row());
    }
}

fn error(code: &str, about: &str, case: Option<&Case>) -> OpenError {
    OpenError {
        code: code.to_owned(),
        last_at: String::new(),
        group: code.to_owned(),
        about: about.to_owned(),
        request: case.map(|case| case.id().to_string()),
    }
}

fn good() -> Evidence {
    let doubts = Doubts { bridge: 1, window: 1, prefetch: 2, ..Doubts::default() };
    let mut evidence = Evidence { doubts, ..Evidence::default() };
    for case in &CASES {
        case.add_to(&mut evidence);
    }
    // What a kill left in doubt.
    evidence.assets.push(CASES[1].location(None));
    evidence.errors = vec![
        error("TL4002", "answer", Some(&CASES[3])),
        error("TL2002", "request", Some(&CASES[4])),
        error("TL4001", "answer", None),
    ];
    evidence
}

/// Both systems and the store count what is there.
fn seal(evidence: &mut Evidence) {
    let mut counts: [BTreeMap<String, u64>; 2] = Default::default();
    let mut seen = HashSet::new();
    let mut add = |side: usize, name: &str| *counts[side].entry(name.to_owned()).or_default() += 1;
    for event in &evidence.billing {
        match event {
            Billing::Sending(_) | Billing::Unknown {} => {}
            Billing::Sent { .. } => add(0, "confirmed"),
            Billing::Reply(reply) => {
                add(0, "replies");
                let is_new = seen.insert(reply.message.clone());
                add(0, if is_new { &reply.outcome } else { "replies_repeated" });
                let is_broken = reply.sync_request == BROKEN.sync_request;
                if is_broken && reply.outcome == "applied" {
                    add(0, "broken_applied");
                }
                if is_new && !is_broken && reply.outcome == "parked" {
                    add(0, "good_parked");
                }
            }
        }
    }
    for event in &evidence.assets {
        if let Assets::Location(location) = event {
            let is_new = seen.insert(location.message.clone());
            add(1, if is_new { "locations_new" } else { "locations_repeated" });
        }
    }
    let untold = evidence.tallies[0].count("sync_requests_untold");
    counts[0].insert("sync_requests_untold".to_owned(), if untold == 0 { 2 } else { untold });
    let [billing, assets] = counts;
    evidence.tallies[0].counts = billing;
    evidence.tallies[1].counts = assets;
    for row in &evidence.requests {
        *evidence.status.requests.entry(row.state.clone()).or_default() += 1;
    }
    for error in &evidence.errors {
        evidence.groups.push(Group { group: error.group.clone(), count: 1 });
    }
}

/// The rules that are broken when something is planted in the good world.
#[track_caller]
fn finds(expected: &[Rule], plant: impl FnOnce(&mut Evidence)) {
    let mut evidence = good();
    plant(&mut evidence);
    seal(&mut evidence);
    assert_found(expected, &evidence);
}

#[track_caller]
fn assert_found(expected: &[Rule], evidence: &Evidence) {
    let (_, faults) = check(evidence);
    let mut found: Vec<_> = faults.iter().map(|fault| fault.rule).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, expected, "{}", super::checker::shown(&faults));
}

/// An operator has retried the broken one with a mended mapping, and asset management has it.
fn mend(evidence: &mut Evidence) {
    evidence.mended.insert(BROKEN.id().to_string());
    evidence.assets.push(BROKEN.location(Some("positive")));
    evidence.assets.push(Assets::Answered { says: "positive".to_owned() });
    "applied".clone_into(&mut evidence.requests[4].state);
    evidence.requests[4].told = Some("positive".to_owned());
    evidence.errors.remove(1);
}

#[test]
fn what_was_mended_must_have_gone_through_and_been_told() {
    finds(&[], |evidence| {
        mend(evidence);
        evidence.billing.push(BROKEN.reply(2, "applied"));
    });
    finds(&[Rule::Replies], mend);
    finds(&[Rule::End], |evidence| evidence.mended.extend([BROKEN.id().to_string()]));
    finds(&[Rule::End, Rule::Counts], |evidence| {
        mend(evidence);
        evidence.billing.push(BROKEN.reply(2, "applied"));
        evidence.mended.clear();
    });
}

/// An outage has parked the one that is refused in the end, and it went on after that.
fn release(evidence: &mut Evidence) {
    let Case { sync_request, .. } = CASES[1];
    evidence.released.insert(CASES[1].id().to_string());
    let is_about_it =
        |it: &&mut Billing| matches!(it, Billing::Reply(it) if it.sync_request == sync_request);
    if let Some(told) = evidence.billing.iter_mut().find(is_about_it) {
        *told = CASES[1].reply(1, "parked");
    }
}

#[test]
fn what_an_outage_parked_must_have_gone_on_and_been_told_once() {
    let told = |it: &mut Evidence, number| it.billing.push(CASES[1].reply(number, "rejected"));
    finds(&[], |evidence| {
        release(evidence);
        told(evidence, 2);
    });
    finds(&[Rule::Replies], release);
    finds(&[Rule::Replies], |evidence| evidence.released.extend([CASES[1].id().to_string()]));
    // It was parked again although nobody had asked for it.
    let twice = |evidence: &mut Evidence| {
        release(evidence);
        evidence.billing.push(CASES[1].reply(2, "parked"));
        told(evidence, 3);
    };
    finds(&[Rule::Replies], twice);
    finds(&[], |evidence| {
        twice(evidence);
        evidence.requests[1].resends = 1;
    });
}

#[test]
fn what_lapin_could_not_read_is_on_the_error_queue_once() {
    let answered = |it: &mut Evidence| {
        it.assets.push(Assets::Answered { says: "unreadable".to_owned() });
    };
    finds(&[Rule::Errors], answered);
    finds(&[], |evidence| {
        answered(evidence);
        evidence.errors.push(error("TL4006", "answer", None));
    });
}

#[test]
fn a_good_run_has_no_faults() {
    finds(&[], |_| {});
}

#[test]
fn a_lost_request_is_found() {
    finds(&[Rule::Lost], |evidence| {
        let lost = case("S11", "P11", 1);
        lost.add_to(evidence);
        evidence.requests.pop();
        // Nobody ever heard of it.
        evidence.billing.pop();
        evidence.assets.truncate(evidence.assets.len() - 2);
    });
}

#[test]
fn what_nobody_asked_for_is_found() {
    let other = case("S11", "P11", 1);
    finds(&[Rule::Invented], |evidence| evidence.requests.push(other.row()));
    finds(&[Rule::Invented, Rule::Counts], |it| it.billing.push(other.reply(1, "applied")));
    finds(&[Rule::Invented, Rule::Counts], |it| it.assets.push(other.location(Some("silent"))));
}

#[test]
fn two_bodies_under_one_id_are_found() {
    finds(&[Rule::TwoBodies], |evidence| {
        let Some(Assets::Location(location)) = evidence.assets.last_mut() else { unreachable!() };
        location.digest.push('!');
    });
    finds(&[Rule::TwoBodies], |evidence| {
        let Billing::Reply(mut other) = CASES[0].reply(1, "applied") else { unreachable!() };
        other.digest.push('!');
        evidence.billing.push(Billing::Reply(other));
    });
}

#[test]
fn an_older_one_after_a_newer_one_is_found() {
    finds(&[Rule::Backwards], |it| it.assets.push(CASES[5].location(Some("silent"))));
    // A repeat too.
    finds(&[Rule::Backwards, Rule::Doubled], |it| it.assets.push(CASES[0].location(None)));
}

#[test]
fn what_the_broker_gives_again_may_be_old_and_what_the_bridge_sends_may_not() {
    let redelivers = |evidence: &mut Evidence| evidence.doubts.assets = 1;
    finds(&[], |it| {
        redelivers(it);
        it.assets.push(CASES[0].location(None));
    });
    // New to asset management.
    finds(&[Rule::Backwards], |it| {
        redelivers(it);
        it.assets.push(CASES[5].location(Some("silent")));
    });
    // More than it was given before it lost its connections.
    finds(&[Rule::Backwards, Rule::Doubled], |it| {
        redelivers(it);
        it.assets.extend([0; 3].map(|_| CASES[0].location(None)));
    });
}

#[test]
fn exactly_what_was_destroyed_on_the_broker_may_stay_open() {
    let destroyed =
        Case { answer: None, says: &[], state: "overdue", told: &[], ..case("S11", "P11", 1) };
    let plant = |case: Case, is_known: bool| {
        move |evidence: &mut Evidence| {
            case.add_to(evidence);
            if is_known {
                evidence.destroyed.insert(case.id().location(1).to_string());
            }
            let untold = 2 + u64::from(case.told.is_empty());
            evidence.tallies[0].counts.insert("sync_requests_untold".to_owned(), untold);
        }
    };
    finds(&[], plant(destroyed, true));
    finds(&[Rule::End], plant(destroyed, false));
    // It was applied although nobody had it.
    let applied = Case { state: "applied", told: &["applied"], ..destroyed };
    finds(&[Rule::End], plant(applied, true));
    // Asset management had it all the same, and answered.
    let answered = Case { answer: Some("positive"), says: &["positive"], ..destroyed };
    finds(&[Rule::End], plant(answered, true));
    // Nobody ever sent it.
    finds(&[Rule::Invented], |it| it.destroyed.extend([destroyed.id().location(1).to_string()]));
}

#[test]
fn an_answer_that_names_none_of_several_may_settle_one_that_was_in_doubt() {
    let plant = |answer: &'static str, interruptions: u64| {
        move |evidence: &mut Evidence| {
            evidence.doubts.bridge = interruptions;
            // No repeat is in this world, for without an interruption there is none.
            evidence
                .assets
                .retain(|event| !matches!(event, Assets::Location(it) if it.answer.is_none()));
            Case { answer: Some(answer), state: "overdue", told: &[], ..case("S11", "P11", 1) }
                .add_to(evidence);
            Case { answer: None, says: &[], ..case("S11", "P11", 2) }.add_to(evidence);
        }
    };
    finds(&[], plant("by_body_only", 1));
    finds(&[Rule::End], plant("by_body_only", 0));
    // This one named whom it was for.
    finds(&[Rule::End], plant("positive", 1));
}

#[test]
fn a_missing_reply_is_found() {
    let without = |case: Case, number: u16| {
        move |evidence: &mut Evidence| {
            // Billing misses it too, if it was the only one.
            let untold = 2 + u64::from(case.told.len() == 1 && case.code.is_none());
            evidence.tallies[0].counts.insert("sync_requests_untold".to_owned(), untold);
            let message = case.id().reply(number).to_string();
            let is_it = |it: &Billing| matches!(it, Billing::Reply(it) if it.message == message);
            evidence.billing.retain(|event| !is_it(event));
        }
    };
    finds(&[Rule::Replies], without(CASES[1], 1));
    finds(&[Rule::Replies], without(CASES[2], 1));
    finds(&[Rule::Replies], without(CASES[2], 2));
    finds(&[Rule::Replies], without(CASES[4], 1));
    finds(&[Rule::Replies], without(CASES[5], 1));
}

#[test]
fn a_reply_that_does_not_follow_is_found() {
    finds(&[Rule::Replies], |it| it.billing.push(CASES[1].reply(2, "applied")));
    // An answer that never came.
    finds(&[Rule::Replies, Rule::Counts], |it| it.billing.push(CASES[7].reply(1, "applied")));
    finds(&[Rule::Content], |evidence| {
        for event in &mut evidence.billing {
            if let Billing::Reply(reply) = event {
                reply.correlation = reply.correlation.replace("ccb-S2-1", "ccb-S3-1");
            }
        }
    });
}

#[test]
fn a_correction_may_leave_what_it_corrects_unheard() {
    finds(&[], |evidence| {
        let message = CASES[0].id().reply(1).to_string();
        let is_it = |it: &Billing| matches!(it, Billing::Reply(it) if it.message == message);
        evidence.billing.retain(|event| !is_it(event));
        evidence.requests[0].told = None;
    });
}

#[test]
fn more_repeats_than_were_in_doubt_are_found() {
    finds(&[Rule::Doubled], |it| it.assets.push(CASES[2].location(None)));
    finds(&[], |it| it.billing.push(CASES[2].reply(1, "rejected")));
    finds(&[Rule::Doubled], |evidence| {
        evidence.billing.extend([CASES[2].reply(1, "rejected"), CASES[2].reply(2, "applied")]);
    });
    finds(&[], |evidence| {
        evidence.billing.extend([CASES[2].reply(2, "applied"), CASES[2].reply(2, "applied")]);
        evidence.requests[2].resends = 1;
    });
}

#[test]
fn an_end_that_does_not_follow_is_found() {
    for state in ["published", "pending", "waiting", "discarded"] {
        finds(&[Rule::End], |it| state.clone_into(&mut it.requests[0].state));
    }
    finds(&[Rule::End], |it| "overdue".clone_into(&mut it.requests[1].state));
    finds(&[Rule::End], |it| "applied".clone_into(&mut it.requests[7].state));
    // By one that is older.
    finds(&[Rule::End], |it| it.requests[5].superseded_by = Some(CASES[1].id().to_string()));
}

#[test]
fn an_error_queue_that_says_too_much_or_too_little_is_found() {
    for place in 0..3 {
        finds(&[Rule::Errors], |it| drop(it.errors.remove(place)));
    }
    finds(&[Rule::Errors], |it| it.errors.push(error("TL4003", "answer", None)));
    finds(&[Rule::Errors], |it| it.errors.push(error("TL3001", "request", Some(&CASES[0]))));
}

#[test]
fn counts_that_differ_are_found() {
    let plants: [fn(&mut Evidence); 5] = [
        |it| *it.tallies[0].counts.entry("confirmed".to_owned()).or_default() += 1,
        |it| *it.tallies[1].counts.entry("locations_new".to_owned()).or_default() -= 1,
        |it| *it.status.requests.entry("applied".to_owned()).or_default() -= 1,
        |it| it.status.outbox.extend([("reply".to_owned(), 1)]),
        |it| it.groups[0].count += 1,
    ];
    for plant in plants {
        let mut evidence = good();
        seal(&mut evidence);
        plant(&mut evidence);
        assert_found(&[Rule::Counts], &evidence);
    }
}

#[test]
fn what_a_system_itself_found_wrong_is_found() {
    finds(&[Rule::Violation], |it| it.tallies[1].violations.push(serde_json::json!("older")));
}

#[test]
fn a_repeat_that_is_not_counted_is_found() {
    finds(&[Rule::Counts], |evidence| evidence.billing.push(Billing::Sent { place: 1 }));
}
