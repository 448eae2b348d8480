//! A model of the brokers on both sides, with what real ones have been seen to do: a message taken
//! and never confirmed, one that appears after the connection is gone, deliveries that come again in
//! their place or at the back, and a delivery limit that dead-letters.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use tieline::bridge::ports::{Leased, Publisher};
use tieline::bridge::{Arrival, HeaderValue, Lane, Outgoing, Properties, What, header};
use tieline::domain::{Failure, FailureCode, Leg};

use super::history::Event;
use super::planted::Plant;
use super::script::{Fate, Queue, Side};

/// How often a message may come again before the broker dead-letters it.
const DELIVERY_LIMIT: u32 = 1;

/// A message on a queue that the bridge consumes.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) arrival: Arrival,
    pub(super) deliveries: u32,
}

/// What the brokers and the systems behind them hold, and all that was seen.
#[derive(Default)]
pub(super) struct State {
    queues: [VecDeque<Queued>; 4],
    /// Asset locations that asset management has not taken yet.
    pub(super) locations: VecDeque<Outgoing>,
    /// Replies as billing got them.
    pub(super) replies: Vec<Outgoing>,
    pub(super) away: [bool; 2],
    /// The windows that each lane has on their way, the oldest first.
    out: [Vec<Out>; 3],
    windows: u64,
    /// What a broker has read and not yet put on its queue.
    late: Vec<Outgoing>,
    pub(super) events: Vec<Event>,
    pub(super) plant: Option<Plant>,
}

/// A window on its way.
struct Out {
    number: u64,
    window: Vec<Leased>,
    verdict: Option<Vec<Fate>>,
    waker: Option<Waker>,
}

/// The model.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<State>>);

impl Wire {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn publisher(&self, lane: Lane) -> Arc<dyn Publisher> {
        Arc::new(ModelPublisher { lane, wire: self.clone() })
    }

    /// A window leaves; tells its number.
    fn send(&self, lane: usize, window: &[Leased]) -> u64 {
        let mut state = self.state();
        state.windows += 1;
        let number = state.windows;
        state.out[lane].push(Out { number, window: window.to_vec(), verdict: None, waker: None });
        number
    }

    /// What became of a window, once that is decided.
    fn verdict(&self, lane: usize, number: u64, cx: &mut Context<'_>) -> Poll<Vec<Fate>> {
        let out = &mut self.state().out[lane];
        let at = out.iter().position(|out| out.number == number).unwrap();
        if out[at].verdict.is_none() {
            out[at].waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(out.remove(at).verdict.unwrap())
    }
}

pub(super) fn side_of(lane: Lane) -> Side {
    match lane {
        Lane::Location => Side::Assets,
        Lane::Reply | Lane::Note => Side::Billing,
    }
}

pub(super) fn side_of_queue(queue: Queue) -> Side {
    match queue {
        Queue::Answers => Side::Assets,
        Queue::Requests | Queue::RequestErrors | Queue::AnswerErrors => Side::Billing,
    }
}

impl State {
    pub(super) fn queue(&mut self, queue: Queue) -> &mut VecDeque<Queued> {
        &mut self.queues[queue as usize]
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty) && self.locations.is_empty()
    }

    pub(super) fn arrive(&mut self, queue: Queue, arrival: Arrival) {
        self.queue(queue).push_back(Queued { arrival, deliveries: 0 });
    }

    pub(super) fn is_out(&self, lane: Lane) -> bool {
        self.undecided(lane).is_some()
    }

    pub(super) fn window(&self, lane: Lane) -> &[Leased] {
        let oldest = self.out[lane as usize].iter().find(|out| out.verdict.is_none());
        oldest.map(|out| &*out.window).unwrap_or_default()
    }

    fn undecided(&self, lane: Lane) -> Option<usize> {
        self.out[lane as usize].iter().position(|out| out.verdict.is_none())
    }

    pub(super) fn decide(&mut self, lane: Lane, fates: &[Fate]) {
        if let Some(at) = self.undecided(lane) {
            let out = &mut self.out[lane as usize][at];
            out.verdict = Some(fates.to_vec());
            out.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// The process is gone: whatever was on its way has this fate, and nobody hears of it.
    pub(super) fn cut(&mut self, fate: Fate) {
        for lane in [Lane::Location, Lane::Reply, Lane::Note] {
            for out in std::mem::take(&mut self.out[lane as usize]) {
                for leased in out.window {
                    drop(self.handed(lane, &leased.message, fate));
                }
            }
        }
    }

    /// What a connection had out comes again, in its place or at the back; a message that has come
    /// too often is dead-lettered.
    pub(super) fn give_back(&mut self, queue: Queue, batch: Vec<Queued>, to_the_back: bool) {
        for (place, mut queued) in batch.into_iter().enumerate() {
            queued.deliveries += 1;
            let dead = match queue {
                Queue::Requests => Some((Queue::RequestErrors, "request.dead")),
                Queue::Answers => Some((Queue::AnswerErrors, "answer.dead")),
                Queue::RequestErrors | Queue::AnswerErrors => None,
            };
            match dead {
                Some((desk, key)) if queued.deliveries > DELIVERY_LIMIT => {
                    let arrival = dead_lettered(queued.arrival, key, "delivery_limit");
                    self.arrive(desk, arrival);
                }
                _ if to_the_back => self.queue(queue).push_back(queued),
                _ => {
                    let queue = self.queue(queue);
                    let place = place.min(queue.len());
                    queue.insert(place, queued);
                }
            }
        }
    }

    pub(super) fn late_frames_come(&mut self) {
        for message in std::mem::take(&mut self.late) {
            self.take(&message);
        }
    }

    /// A message leaves the bridge; tells whether the broker said so.
    fn handed(&mut self, lane: Lane, message: &Outgoing, fate: Fate) -> Result<(), Failure> {
        let is_away = self.away[side_of(lane) as usize];
        let fate = match fate {
            Fate::Confirmed if is_away => Fate::Unknown,
            fate => fate,
        };
        self.events.push(Event::Handed { lane, message: message.message_id, fate });
        match fate {
            Fate::Confirmed | Fate::Unknown => self.take(message),
            Fate::Late => self.late.push(message.clone()),
            Fate::Returned | Fate::Nacked | Fate::Vanished | Fate::Unsent => {}
        }
        let codes = match lane {
            Lane::Location | Lane::Note => [
                FailureCode::LocationUnroutable,
                FailureCode::LocationRefused,
                FailureCode::LocationUnconfirmed,
                FailureCode::AssetsUnreachable,
            ],
            Lane::Reply => [
                FailureCode::ReplyUnroutable,
                FailureCode::ReplyRefused,
                FailureCode::ReplyUnconfirmed,
                FailureCode::BillingUnreachable,
            ],
        };
        let code = match fate {
            Fate::Confirmed => return Ok(()),
            Fate::Returned => codes[0],
            Fate::Nacked => codes[1],
            Fate::Unknown | Fate::Late | Fate::Vanished => codes[2],
            Fate::Unsent => codes[3],
        };
        Err(Failure::new(code, "the model says so"))
    }

    fn take(&mut self, message: &Outgoing) {
        self.events.push(Event::Taken { message: message.clone() });
        match &message.what {
            What::Location { .. } => self.locations.push_back(message.clone()),
            What::Reply { .. } => self.replies.push(message.clone()),
            What::Note { error, leg, .. } => {
                let headers =
                    vec![(header::ERROR.to_owned(), HeaderValue::Text(error.to_string()))];
                let (queue, key) = match leg {
                    Leg::Request => (Queue::RequestErrors, "request.note"),
                    Leg::Location => (Queue::RequestErrors, "location.note"),
                    Leg::Answer => (Queue::AnswerErrors, "answer.note"),
                    Leg::Reply => (Queue::AnswerErrors, "reply.note"),
                };
                let properties = Properties {
                    headers,
                    routing_key: key.to_owned(),
                    message_id: Some(message.message_id.to_string()),
                    ..Properties::default()
                };
                self.arrive(queue, Arrival { payload: message.payload.clone(), properties });
            }
        }
    }
}

/// A message as the broker puts it on an error queue.
pub(super) fn dead_lettered(mut arrival: Arrival, key: &str, reason: &str) -> Arrival {
    let text = |text: &str| HeaderValue::Text(text.to_owned());
    let queue = key.trim_end_matches(".dead");
    arrival.properties.headers.push(("x-first-death-queue".to_owned(), text(queue)));
    arrival.properties.headers.push(("x-first-death-reason".to_owned(), text(reason)));
    key.clone_into(&mut arrival.properties.routing_key);
    arrival
}

/// A message that the bridge published, as it comes back.
pub(super) fn returned(message: &Outgoing, key: &str) -> Arrival {
    let message_id = Some(message.message_id.to_string());
    let properties = Properties { message_id, ..Properties::default() };
    dead_lettered(Arrival { payload: message.payload.clone(), properties }, key, "rejected")
}

/// The publisher of a lane. A window that was sent is out until the simulation says how it ended.
struct ModelPublisher {
    lane: Lane,
    wire: Wire,
}

impl ModelPublisher {
    fn is_there(&self) -> Result<(), Failure> {
        let code = match self.lane {
            Lane::Location => FailureCode::AssetsUnreachable,
            Lane::Reply | Lane::Note => FailureCode::BillingUnreachable,
        };
        let is_away = self.wire.state().away[side_of(self.lane) as usize];
        if is_away { Err(Failure::new(code, "away")) } else { Ok(()) }
    }
}

#[async_trait]
impl Publisher for ModelPublisher {
    async fn open(&self) -> Result<(), Failure> {
        self.is_there()
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.is_there()
    }

    async fn publish(&self, window: &[Leased]) -> Vec<Result<(), Failure>> {
        let lane = self.lane as usize;
        let number = self.wire.send(lane, window);
        let fates = poll_fn(|cx| self.wire.verdict(lane, number, cx)).await;
        let mut state = self.wire.state();
        let plant = state.plant;
        let fates = (0..window.len()).map(|at| fates.get(at % fates.len().max(1)).copied());
        let fates = fates.map(|fate| fate.unwrap_or(Fate::Confirmed));
        let results = window.iter().zip(fates).map(|(leased, fate)| {
            let result = state.handed(self.lane, &leased.message, fate);
            match plant {
                Some(Plant::ReturnedCountsAsConfirmed) if fate == Fate::Returned => Ok(()),
                Some(Plant::ReplySentTwice) if self.lane == Lane::Reply => {
                    drop(state.handed(self.lane, &leased.message, Fate::Confirmed));
                    result
                }
                _ => result,
            }
        });
        results.collect()
    }
}
