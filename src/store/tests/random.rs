//! Anything that can happen, in any order, with crashes in between: no invariant ever breaks, what
//! is final stays final, and once everything is back and answered nothing is left waiting.

use std::collections::HashMap;

use jiff::SignedDuration;
use proptest::prelude::*;
use rusqlite::Connection;

use super::world::{
    World, answer_naming, answer_to, away, check_invariants, order, refused, request_saying, retry,
    translation, unmapped,
};
use crate::bridge::message::What;
use crate::bridge::ports::{
    ErrorQuery, Handover, Lane, Leased, Mended, NewRequest, Order, Returned, Store as _, TakenIn,
};
use crate::domain::{About, Command, ErrorId, Failure, FailureCode, MessageId, RequestId, Verdict};

/// One thing that happens. Numbers pick among what there is.
#[derive(Clone, Debug)]
enum Happening {
    Arrival {
        sync_request: u8,
        service_point: u8,
        version: u8,
        content: u8,
        good: bool,
    },
    Lease(Lane),
    Finish {
        pick: usize,
        how: How,
    },
    /// The answer is lost between the broker and us, and the process dies.
    Crash,
    AnswerByMessage {
        pick: usize,
        edition: u16,
        positive: bool,
    },
    AnswerByBody {
        sync_request: u8,
        positive: bool,
    },
    Park(Lane),
    Wait {
        seconds: i64,
    },
    Sweep,
    Command {
        pick: usize,
        command: Command,
    },
    LocationReturns {
        pick: usize,
        edition: u16,
    },
    ReplyReturns {
        pick: usize,
        number: u16,
    },
    Stranger {
        sync_request: u8,
        service_point: u8,
    },
}

#[derive(Clone, Copy, Debug)]
enum How {
    Confirmed,
    Failed,
    Interrupted,
}

fn lane() -> impl Strategy<Value = Lane> {
    prop_oneof![Just(Lane::Location), Just(Lane::Reply), Just(Lane::Note)]
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    let how = prop_oneof![
        3 => Just(How::Confirmed),
        1 => Just(How::Failed),
        1 => Just(How::Interrupted),
    ];
    let command = prop_oneof![3 => Just(Command::Retry), 1 => Just(Command::Discard), 1 => Just(Command::Restore)];
    prop_oneof![
        8 => (0..4_u8, 0..2_u8, 0..4_u8, 0..2_u8, prop::bool::weighted(0.8)).prop_map(
            |(sync_request, service_point, version, content, good)| {
                H::Arrival { sync_request, service_point, version, content, good }
            }
        ),
        6 => lane().prop_map(H::Lease),
        6 => (any::<usize>(), how).prop_map(|(pick, how)| H::Finish { pick, how }),
        1 => Just(H::Crash),
        4 => (any::<usize>(), 1..3_u16, any::<bool>())
            .prop_map(|(pick, edition, positive)| H::AnswerByMessage { pick, edition, positive }),
        3 => (0..5_u8, any::<bool>())
            .prop_map(|(sync_request, positive)| H::AnswerByBody { sync_request, positive }),
        2 => lane().prop_map(H::Park),
        2 => prop_oneof![Just(1), Just(61), Just(1000)].prop_map(|seconds| H::Wait { seconds }),
        2 => Just(H::Sweep),
        5 => (any::<usize>(), command).prop_map(|(pick, command)| H::Command { pick, command }),
        1 => (any::<usize>(), 1..3_u16)
            .prop_map(|(pick, edition)| H::LocationReturns { pick, edition }),
        1 => (any::<usize>(), 1..3_u16).prop_map(|(pick, number)| H::ReplyReturns { pick, number }),
        1 => (0..4_u8, 0..2_u8)
            .prop_map(|(sync_request, service_point)| H::Stranger { sync_request, service_point }),
    ]
}

/// A world, and what a test remembers of it.
struct Play {
    world: World,
    requests: HashMap<RequestId, NewRequest>,
    order: Vec<RequestId>,
    leased: Vec<(Lane, Leased)>,
    states: HashMap<RequestId, String>,
    bytes: HashMap<MessageId, Vec<u8>>,
    checker: Connection,
}

impl Play {
    fn new() -> Self {
        let world = World::new();
        let checker = Connection::open(world.path()).unwrap();
        checker.set_prepared_statement_cache_capacity(64);
        Self {
            world,
            checker,
            requests: HashMap::new(),
            order: Vec::new(),
            leased: Vec::new(),
            states: HashMap::new(),
            bytes: HashMap::new(),
        }
    }

    async fn happen(&mut self, what: Happening) {
        use Happening as H;
        match what {
            H::Arrival { sync_request, service_point, version, content, good } => {
                let mut new = arrival(sync_request, service_point, version, content);
                if !good {
                    new.translation = Err(unmapped());
                }
                self.know(&new);
                self.world.record(new).await;
            }
            H::Lease(lane) => self.lease(lane).await,
            H::Finish { pick, how } => self.finish(pick, how).await,
            H::Crash => {
                self.leased.clear();
                self.world.restart();
            }
            H::AnswerByMessage { pick, edition, positive } => {
                let Some(id) = self.pick(pick) else { return };
                self.world.answer(answer_to(id.location(edition), verdict(positive))).await;
            }
            H::AnswerByBody { sync_request, positive } => {
                let name = format!("S{sync_request}");
                self.world.answer(answer_naming(&name, verdict(positive))).await;
            }
            H::Park(lane) => {
                let failure = match lane {
                    Lane::Location => away(),
                    Lane::Reply | Lane::Note => {
                        Failure::new(FailureCode::BillingUnreachable, "away")
                    }
                };
                self.world.store().park(lane, &failure, 3).await.unwrap();
            }
            H::Wait { seconds } => self.world.clock.wait(SignedDuration::from_secs(seconds)),
            H::Sweep => {
                self.world.store().sweep(10).await.unwrap();
            }
            H::Command { pick, command } => self.command(pick, command).await,
            H::LocationReturns { pick, edition } => {
                let Some(id) = self.pick(pick) else { return };
                let (message, about) = (id.location(edition), Returned::Location(id));
                let failure = Failure::new(FailureCode::LocationDeadLettered, "rejected");
                self.take_in(TakenIn::Returned { message, about, failure }).await;
            }
            H::ReplyReturns { pick, number } => {
                let Some(id) = self.pick(pick) else { return };
                let (message, about) = (id.reply(number), Returned::Reply(id));
                let failure = Failure::new(FailureCode::ReplyDeadLettered, "rejected");
                self.take_in(TakenIn::Returned { message, about, failure }).await;
            }
            H::Stranger { sync_request, service_point } => {
                let request = Box::new(arrival(sync_request, service_point, 9, 9));
                self.know(&request);
                let failure = Failure::new(FailureCode::Foreign, "put there by somebody");
                self.take_in(TakenIn::Request { request, failure }).await;
            }
        }
    }

    fn know(&mut self, new: &NewRequest) {
        if self.requests.insert(new.id, new.clone()).is_none() {
            self.order.push(new.id);
        }
    }

    fn pick(&self, pick: usize) -> Option<RequestId> {
        (!self.order.is_empty()).then(|| self.order[pick % self.order.len()])
    }

    async fn lease(&mut self, lane: Lane) {
        for leased in self.world.store().lease(lane, 3, self.world.until()).await.unwrap() {
            let message = &leased.message;
            let first = self.bytes.entry(message.message_id).or_insert(message.payload.clone());
            assert_eq!(first, &message.payload, "one message id, one content");
            self.leased.push((lane, leased));
        }
    }

    async fn finish(&mut self, pick: usize, how: How) {
        if self.leased.is_empty() {
            return;
        }
        let (lane, leased) = self.leased.swap_remove(pick % self.leased.len());
        let code = if lane == Lane::Location {
            FailureCode::LocationUnconfirmed
        } else {
            FailureCode::ReplyUnconfirmed
        };
        let handover = match how {
            How::Confirmed => Handover::Confirmed,
            How::Failed => Handover::Failed(Failure { code, ..refused() }),
            How::Interrupted => Handover::Interrupted,
        };
        self.world.finish(lane, &[leased], &handover).await;
    }

    async fn take_in(&self, taken: TakenIn) {
        self.world.store().take_in(vec![taken]).await.unwrap();
    }

    async fn command(&self, pick: usize, command: Command) {
        let ids: Vec<_> = (1..=20).map(ErrorId).collect();
        let errors = self.world.store().errors(&ErrorQuery { ids, ..ErrorQuery::default() }).await;
        let errors = errors.unwrap();
        if errors.is_empty() {
            return;
        }
        let error = &errors[pick % errors.len()];
        let given = match (command, error.about) {
            (Command::Retry, About::Request(id)) => retry(error.id, &self.requests[&id]),
            (Command::Retry, About::Answer(_)) => {
                let name = format!("S{}", pick % 5);
                let answer = answer_naming(&name, verdict(pick.is_multiple_of(2))).read.unwrap();
                let mended = Some(Mended::Answer(answer));
                Order { error: error.id, command, mended }
            }
            (_, About::Request(_) | About::Answer(_) | About::Reply(_)) => order(error.id, command),
        };
        self.world.order(given).await;
    }

    /// Every invariant, and that no state changed in a way that the rules do not know.
    fn check(&mut self) {
        check_invariants(&self.checker);
        let mut statement = self.checker.prepare_cached("SELECT id, state FROM requests").unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let id = RequestId::from_uuid(uuid::Uuid::from_bytes(row.get(0).unwrap()));
            let state = crate::store::rows::STATES[usize::from(row.get::<_, u8>(1).unwrap())];
            let before = self.states.insert(id, state.to_owned());
            let allowed = match before.as_deref() {
                Some("applied") => &["applied"][..],
                Some("superseded") => &["superseded"],
                Some("rejected") => &["rejected", "applied"],
                Some("discarded") => &["discarded", "parked", "applied"],
                // A resend sends it once more; something newer may go first, or have gone.
                Some("overdue") => &[
                    "overdue",
                    "applied",
                    "rejected",
                    "parked",
                    "pending",
                    "waiting",
                    "superseded",
                ],
                _ => continue,
            };
            assert!(allowed.contains(&state), "{before:?} became {state}");
        }
    }

    /// Both sides are back and every message is answered: nothing may be left waiting.
    async fn come_to_rest(&mut self) {
        self.world.restart();
        // What was published before may never be answered; then it is overdue.
        self.world.clock.wait(SignedDuration::from_mins(15));
        for _ in 0..1000 {
            self.world.clock.wait(SignedDuration::from_secs(61));
            let mut idle = true;
            for lane in [Lane::Location, Lane::Reply, Lane::Note] {
                let leased = self.world.publish(lane).await;
                idle &= leased.is_empty();
                for it in leased {
                    if let What::Location { .. } = it.message.what {
                        let new = answer_to(it.message.message_id, Verdict::Positive);
                        self.world.answer(new).await;
                    }
                }
            }
            // What is overdue from now on may let another one go.
            idle &= self.world.store().sweep(100).await.unwrap().overdue.is_empty();
            if idle {
                break;
            }
        }
        let counts = self.world.store().counts().await.unwrap();
        for (state, count) in counts.requests {
            let rests = !matches!(state, "waiting" | "pending" | "published");
            assert!(rests || count == 0, "{count} requests are {state} for ever");
        }
        assert!(counts.outbox.iter().all(|(_, count)| *count == 0), "{:?}", counts.outbox);
    }
}

fn arrival(sync_request: u8, service_point: u8, version: u8, content: u8) -> NewRequest {
    let (sync, point) = (format!("S{sync_request}"), format!("SP-{service_point}"));
    let mut new = request_saying(&sync, &point, version.into(), &content.to_string());
    // Version 0 stands for none: then arrival alone decides.
    if version == 0 {
        new.revision.version = None;
    }
    new.translation = Ok(translation(&format!("{sync}/{version}/{content}")));
    new
}

fn verdict(positive: bool) -> Verdict {
    if positive { Verdict::Positive } else { Verdict::Negative }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_no_invariant_breaks(all in prop::collection::vec(happening(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut play = Play::new();
            for what in all {
                play.happen(what).await;
                play.check();
            }
            play.come_to_rest().await;
            play.check();
        });
    }
}
