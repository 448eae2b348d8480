//! The stand-in of asset management: takes asset locations and answers them, each in its way and
//! its time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::answers::{self, Answer, AnswerMix, Asked, Choice, Says};
use super::broker::{Broker, Letter, Outlet, to_queue};
use super::history::{Event, History};
use super::locations::Locations;
use super::quiet::Quiet;
use super::random::{Random, number_of};
use super::tally::{Count, Ended, Live, Tally};
use crate::amqp::Role;
use crate::bridge::ports::{Clock, Handler, Receiving, StoreError};
use crate::bridge::{Arrival, Properties};

/// How many asset locations wait for their answers to be written.
const INBOX_MAX: usize = 2_000;

/// How many answers wait for their time. Beyond it no more asset locations are taken.
const WAITING_MAX: usize = 200_000;

/// How many answers are published before their confirms are awaited.
const WINDOW_MAX: usize = 200;

/// How long after an answer the next one to the same asset location follows.
const FOLLOW_DELAY: Duration = Duration::from_millis(200);

/// How long the answers that still wait may take to go out at the end.
const FAREWELL_WAIT_MAX: Duration = Duration::from_secs(10);

mod draw {
    pub(super) const DELAY: u64 = 31;
}

/// What is answered, and when.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// What the choice of answers follows from.
    pub seed: u64,
    /// Which share of the asset locations is answered how.
    pub mix: AnswerMix,
    /// The shortest time to an answer.
    pub delay_min: Duration,
    /// The longest time to an answer that is not late.
    pub delay_max: Duration,
    /// How much later a late answer comes.
    pub late: Duration,
    /// After how long without an asset location the run is over; without one, at `stop` only.
    pub quiet: Option<Duration>,
    /// A file for the history.
    pub history: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            mix: AnswerMix::default(),
            delay_min: Duration::ZERO,
            delay_max: Duration::from_millis(50),
            late: Duration::from_secs(5),
            quiet: None,
            history: None,
        }
    }
}

/// Takes and answers asset locations until nothing comes any more, or `stop`. Then what still waits
/// for its time is answered at once.
pub async fn run(
    options: Options,
    broker: &Broker,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<Tally, Error> {
    options.mix.check().map_err(Error::Mix)?;
    let history = History::begin(options.history.as_deref(), clock).map_err(Error::History)?;
    let answer_queue = broker.topology.queue(Role::Answer);
    let locations = Mutex::new(Locations::new(options.seed, options.mix, answer_queue));
    let (quiet, waiting) = (Quiet::new(), AtomicU64::new(0));
    let office = Arc::new(Office { options, locations, quiet, waiting, live, history });
    let (inbox, outbox) = mpsc::channel(INBOX_MAX);
    let handler: Arc<dyn Handler> = Arc::new(Intake { office: Arc::clone(&office), inbox });
    let over = stop.child_token();
    let outlet = broker.outlet();
    let taking = Box::pin(broker.consumer(Role::Location).run(handler, over.clone()));
    let answering = office.answer(outbox, answer_queue, &outlet, &over);
    let watching = async {
        let ended = office.watch(&stop).await;
        over.cancel();
        ended
    };
    let (ended, (), ()) = tokio::join!(watching, taking, answering);
    outlet.close().await;
    office.history.end().map_err(Error::History)?;
    Ok(office.live.tally("assets", ended))
}

/// An asset location with what it is answered and when.
struct Waiting {
    due: Instant,
    asked: Asked,
    choice: Choice,
}

/// Takes asset locations in.
struct Intake {
    office: Arc<Office>,
    inbox: mpsc::Sender<Waiting>,
}

impl Handler for Intake {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        Box::pin(async move {
            // Room for all of them before any is taken: a batch whose connection is lost meanwhile
            // is forgotten half way, and what was taken of it would never be answered.
            // The other end is there for as long as this one is.
            let room = self.inbox.reserve_many(batch.len()).await;
            let room = room.map_err(|_| StoreError::Closed)?;
            for (place, waiting) in room.zip(self.office.take(&batch)) {
                place.send(waiting);
            }
            Ok(())
        })
    }
}

/// Where asset management keeps its books.
struct Office {
    options: Options,
    locations: Mutex<Locations>,
    quiet: Quiet,
    /// How many asset locations are not answered yet.
    waiting: AtomicU64,
    live: Arc<Live>,
    history: History,
}

impl Office {
    fn locations(&self) -> MutexGuard<'_, Locations> {
        self.locations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, batch: &[Arrival]) -> Vec<Waiting> {
        let mut locations = self.locations();
        let now = Instant::now();
        let new: Vec<_> = batch
            .iter()
            .filter_map(|arrival| locations.take(arrival, &self.live, &self.history))
            .map(|(asked, choice)| self.schedule(now, asked, choice))
            .collect();
        self.history.flush();
        self.quiet.disturb();
        self.waiting.fetch_add(new.len() as u64, Ordering::Relaxed);
        new
    }

    fn schedule(&self, now: Instant, asked: Asked, choice: Choice) -> Waiting {
        let Options { seed, delay_min, delay_max, late, .. } = self.options;
        let mut random = Random::of(&[seed, draw::DELAY, number_of(&asked.message)]);
        let range = delay_max.saturating_sub(delay_min);
        let delay = delay_min + range.mul_f64(random.fraction());
        let late = if choice.is_late { late } else { Duration::ZERO };
        self.live.add(choice.kind.count());
        self.live.add_many(Count::AnsweredLate, u64::from(choice.is_late));
        Waiting { due: now + delay + late, asked, choice }
    }

    async fn watch(&self, stop: &CancellationToken) -> Ended {
        loop {
            tokio::select! {
                () = sleep(Quiet::LOOK_EVERY) => {}
                () = stop.cancelled() => return Ended::Stopped,
            }
            let is_idle = self.waiting.load(Ordering::Relaxed) == 0;
            if is_idle && self.options.quiet.is_some_and(|quiet| self.quiet.lasts(quiet)) {
                return Ended::Quiet;
            }
        }
    }

    /// Answers in time for as long as asset locations come in, then at once what is left.
    async fn answer(
        &self,
        mut outbox: mpsc::Receiver<Waiting>,
        queue: &str,
        outlet: &Outlet,
        over: &CancellationToken,
    ) {
        let mut agenda = Agenda::default();
        let (mut taken, mut in_doubt) = (Vec::new(), Vec::new());
        loop {
            let next = agenda.next_due();
            let due = next.unwrap_or_else(Instant::now);
            tokio::select! {
                count = outbox.recv_many(&mut taken, WINDOW_MAX), if agenda.len() < WAITING_MAX => {
                    if count == 0 {
                        break;
                    }
                    self.plan(&mut agenda, &mut taken);
                }
                () = sleep_until(due), if next.is_some() => {
                    let letters = self.letters(agenda.take_due(Instant::now()), queue);
                    in_doubt.extend(self.publish(letters, outlet, over).await);
                }
            }
        }
        let farewell = async {
            let patient = CancellationToken::new();
            self.publish(in_doubt, outlet, &patient).await;
            while !agenda.is_empty() {
                let letters = self.letters(agenda.take_first(), queue);
                self.publish(letters, outlet, &patient).await;
            }
        };
        if timeout(FAREWELL_WAIT_MAX, farewell).await.is_err() {
            tracing::warn!("the last answers could not be published in time");
        }
    }

    fn plan(&self, agenda: &mut Agenda, taken: &mut Vec<Waiting>) {
        for Waiting { due, asked, choice } in taken.drain(..) {
            let answers = answers::write(choice.kind, &asked);
            if answers.is_empty() {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            let asked = Arc::new(asked);
            let last = answers.len().saturating_sub(1);
            let mut due = due;
            for (place, answer) in answers.into_iter().enumerate() {
                let is_last = place == last;
                agenda.add(due, Errand { asked: Arc::clone(&asked), answer, is_last });
                due += FOLLOW_DELAY;
            }
        }
    }

    /// Writes answers out. From now on the bridge may send the next location of a service point.
    fn letters(&self, errands: Vec<Errand>, queue: &str) -> Vec<Letter<Errand>> {
        let mut locations = self.locations();
        for errand in errands.iter().filter(|errand| errand.answer.says != Says::Orphan) {
            locations.conclude(&errand.asked);
        }
        drop(locations);
        errands.into_iter().map(|errand| errand.letter(queue)).collect()
    }

    /// Publishes answers; gives back what was still in doubt when it was `over`.
    async fn publish(
        &self,
        letters: Vec<Letter<Errand>>,
        outlet: &Outlet,
        over: &CancellationToken,
    ) -> Vec<Letter<Errand>> {
        let told = |errand: &Errand, result: Result<(), &str>| {
            if result.is_err() {
                return;
            }
            self.waiting.fetch_sub(u64::from(errand.is_last), Ordering::Relaxed);
            let Answer { message, correlation, says, .. } = &errand.answer;
            let (correlation, says) = (correlation.as_deref(), says.as_str());
            self.history.write(&Event::Answered { message, correlation, says });
        };
        let in_doubt = outlet.publish(letters, &self.live, over, told).await;
        self.history.flush();
        in_doubt
    }
}

/// An answer to be published.
struct Errand {
    asked: Arc<Asked>,
    answer: Answer,
    /// Whether it is the last one to its asset location.
    is_last: bool,
}

impl Errand {
    fn letter(mut self, queue: &str) -> Letter<Self> {
        let properties = Properties {
            content_type: Some("application/xml".into()),
            delivery_mode: Some(2),
            message_id: Some(self.answer.message.clone()),
            correlation_id: self.answer.correlation.clone(),
            kind: Some("syncResponse".into()),
            app_id: Some("OU_WAM_01".into()),
            ..Properties::default()
        };
        let payload = std::mem::take(&mut self.answer.payload);
        let message = to_queue(queue, properties, payload);
        (self, message)
    }
}

/// The answers that wait for their time; those of the same time in the order they were added.
#[derive(Default)]
struct Agenda {
    order: BinaryHeap<Reverse<(Instant, u64)>>,
    errands: HashMap<u64, Errand>,
    added: u64,
}

impl Agenda {
    fn add(&mut self, due: Instant, errand: Errand) {
        self.order.push(Reverse((due, self.added)));
        self.errands.insert(self.added, errand);
        self.added += 1;
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn next_due(&self) -> Option<Instant> {
        self.order.peek().map(|Reverse((due, _))| *due)
    }

    /// What is due, at most a window.
    fn take_due(&mut self, now: Instant) -> Vec<Errand> {
        let mut due = Vec::new();
        while due.len() < WINDOW_MAX && self.next_due().is_some_and(|next| next <= now) {
            due.extend(self.pop());
        }
        due
    }

    /// The first window, due or not.
    fn take_first(&mut self) -> Vec<Errand> {
        std::iter::from_fn(|| self.pop()).take(WINDOW_MAX).collect()
    }

    fn pop(&mut self) -> Option<Errand> {
        let Reverse((_, place)) = self.order.pop()?;
        self.errands.remove(&place)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::runtime::SystemClock;

    #[test]
    fn nothing_is_taken_of_a_batch_before_there_is_room_for_all_of_it() {
        let history = History::begin(None, Arc::new(SystemClock)).unwrap();
        let locations = Mutex::new(Locations::new(1, AnswerMix::POSITIVE, "answers"));
        let office = Arc::new(Office {
            options: Options::default(),
            locations,
            quiet: Quiet::new(),
            waiting: AtomicU64::new(0),
            live: Arc::new(Live::new()),
            history,
        });
        let (inbox, _outbox) = mpsc::channel(2);
        let _taken = inbox.clone().try_reserve_owned().unwrap();
        let intake = Intake { office: Arc::clone(&office), inbox };
        let batch = vec![Arrival { payload: Vec::new(), properties: Properties::default() }; 2];
        assert!(intake.receive(batch).now_or_never().is_none());
        assert_eq!(office.live.count(Count::Locations), 0);
    }
}
