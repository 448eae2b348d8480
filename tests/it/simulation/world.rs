//! Lets a script happen: one thing after the other, on one thread, each to its end, to the moment
//! at which a window is on its way, or to the death of the process.

use std::cell::RefCell;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use rusqlite::Connection;
use tempfile::TempDir;
use tieline::bridge::operator::Operations;
use tieline::bridge::outage::Release;
use tieline::bridge::ports::{ErrorQuery, Operator, Store};
use tieline::bridge::{Arrival, Lane, Transforms};
use tieline::domain::{AnswerId, Digest, ErrorStatus, Verdict};
use tieline::store::{Role, Settings, migrate};
use tieline::transform::Catalog;
use tokio::runtime::Runtime;

use super::history::{self, Event, SentAnswer};
use super::invariants;
use super::outside::name;
use super::planted::Plant;
use super::process::{Process, Site, StoppedClock};
use super::script::{Behaviour, Fate, Operation, Order, Queue, Settling, Side, Way};
use super::seen::Seen;
use super::wire::{Wire, side_of_queue};

/// How many rounds everything may take to come to rest.
const ROUNDS_MAX: usize = 300;

thread_local! {
    static HERE: RefCell<Option<(Runtime, TempDir)>> = const { RefCell::new(None) };
}

/// Lets a script happen, then everything come to rest.
pub(super) fn play(script: &[Operation], plant: Option<Plant>) -> Seen {
    HERE.with_borrow_mut(|here| {
        let (runtime, folder) = here.get_or_insert_with(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            (runtime, folder())
        });
        let path = folder.path().join("store.db");
        std::fs::write(&path, empty_store()).unwrap();
        let mut world = World::new(runtime, &path, plant);
        world.play(script);
        let seen = world.end();
        for ending in ["", "-wal", "-shm", ".lock"] {
            let mut name = path.clone().into_os_string();
            name.push(ending);
            drop(std::fs::remove_file(PathBuf::from(name)));
        }
        seen
    })
}

fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// The bytes of a store with nothing in it: to make them anew takes longer than most scripts.
fn empty_store() -> &'static [u8] {
    static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();
    EMPTY.get_or_init(|| {
        let folder = folder();
        let path = folder.path().join("empty.db");
        migrate(&Settings::new(&path)).unwrap();
        std::fs::read(path).unwrap()
    })
}

fn transforms() -> Arc<Transforms> {
    static BUILT_IN: OnceLock<Arc<Transforms>> = OnceLock::new();
    let built_in = || Arc::new(Transforms::new(Catalog::built_in().unwrap()));
    Arc::clone(BUILT_IN.get_or_init(built_in))
}

pub(super) struct World<'a> {
    runtime: &'a Runtime,
    path: &'a Path,
    clock: Arc<StoppedClock>,
    pub(super) transforms: Arc<Transforms>,
    pub(super) wire: Wire,
    release: Release,
    plant: Option<Plant>,
    process: Option<Process>,
    checker: Connection,
    pub(super) late_answers: Vec<(Arrival, SentAnswer)>,
    broken: Option<String>,
}

enum Driven<T> {
    Done(T),
    /// A window is on its way.
    Out,
    Died,
}

impl<'a> World<'a> {
    fn new(runtime: &'a Runtime, path: &'a Path, plant: Option<Plant>) -> Self {
        let checker = Connection::open(path).unwrap();
        checker.set_prepared_statement_cache_capacity(64);
        let wire = Wire::default();
        wire.state().plant = plant;
        let mut world = Self {
            runtime,
            path,
            clock: StoppedClock::new(),
            transforms: transforms(),
            wire,
            release: Release::Manual,
            plant,
            process: None,
            checker,
            late_answers: Vec::new(),
            broken: None,
        };
        world.start();
        world
    }

    fn site(&self) -> Site<'_> {
        Site {
            path: self.path,
            clock: &self.clock,
            transforms: &self.transforms,
            wire: &self.wire,
            release: self.release,
            plant: self.plant,
        }
    }

    fn start(&mut self) {
        let leased = self.process.take().map(|old| old.store.leased()).unwrap_or_default();
        self.process = Some(Process::start(&self.site(), leased));
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    fn play(&mut self, script: &[Operation]) {
        let mut checked = 0;
        for (at, operation) in script.iter().enumerate() {
            self.happen(operation);
            // Changes when another connection has committed.
            let version = "SELECT data_version FROM pragma_data_version";
            let version =
                self.checker.prepare_cached(version).unwrap().query_row([], |row| row.get(0));
            let version: i64 = version.unwrap();
            if version == checked {
                continue;
            }
            checked = version;
            if let Some(what) = invariants::broken(&self.checker) {
                self.broken = Some(format!("after operation {}, {operation}: {what}", at + 1));
                return;
            }
        }
    }

    fn happen(&mut self, operation: &Operation) {
        match operation {
            Operation::Send { sync, point, version, content, shape } => {
                self.send((*sync, *point), (*version, *content), *shape);
            }
            Operation::Take { queue, count, settling } => self.take(*queue, *count, *settling),
            Operation::Begin { way } => self.begin(lane(*way)),
            Operation::End { way, fates } => self.finish(lane(*way), fates),
            Operation::Answer { behaviour } => self.answer(*behaviour),
            Operation::LateAnswersCome => self.late_answers_come(),
            Operation::LateFramesCome => self.wire.state().late_frames_come(),
            Operation::Orphan { sync } => self.say(None, &name(*sync), Verdict::Positive, "X"),
            Operation::ReplyReturns => self.reply_returns(),
            Operation::Order { order, pick } => self.order(*order, Some(*pick)),
            Operation::OrderAll { order } => self.order(*order, None),
            Operation::Sweep => self.sweep(),
            Operation::Wait { seconds } => self.clock.wait(*seconds),
            Operation::Away { side } => self.wire.state().away[*side as usize] = true,
            Operation::Back { side } => self.wire.state().away[*side as usize] = false,
            Operation::ReleasesByItself => {
                self.release = Release::Auto;
                self.die(Fate::Unknown);
            }
            Operation::Mishap { after, mishap } => {
                self.process().store.arm(Some((*after, *mishap)));
            }
            Operation::Kill { fate } => self.die(*fate),
        }
    }

    /// Polls to the end, to a window on its way, or to the death of the process.
    fn drive<T>(
        &self,
        future: &mut Pin<Box<dyn Future<Output = T>>>,
        lane: Option<Lane>,
    ) -> Driven<T> {
        let store = &self.process.as_ref().unwrap().store;
        self.runtime.block_on(poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Driven::Done(value)),
            Poll::Pending if store.is_dead() => Poll::Ready(Driven::Died),
            Poll::Pending
                if store.is_quiet() && lane.is_some_and(|lane| self.wire.state().is_out(lane)) =>
            {
                Poll::Ready(Driven::Out)
            }
            Poll::Pending => Poll::Pending,
        }))
    }

    pub(super) fn note(&self, event: Event) {
        self.wire.state().events.push(event);
    }

    /// The process is gone with all that it had in memory; another one starts.
    fn die(&mut self, fate: Fate) {
        self.wire.state().cut(fate);
        self.note(Event::Died);
        self.start();
    }

    /// The bridge takes a batch; it is settled once it is recorded, if the connection still lives.
    fn take(&mut self, queue: Queue, count: u64, settling: Settling) {
        let mut batch = Vec::new();
        {
            let mut state = self.wire.state();
            if state.away[side_of_queue(queue) as usize] {
                return;
            }
            let queued = state.queue(queue);
            while batch.len() < usize::try_from(count).unwrap()
                && let Some(next) = queued.pop_front()
            {
                batch.push(next);
            }
        }
        if batch.is_empty() {
            return;
        }
        let arrivals: Vec<_> = batch.iter().map(|queued| queued.arrival.clone()).collect();
        let answers = (queue == Queue::Answers).then(|| {
            let id = |arrival: &Arrival| {
                let correlation = arrival.properties.correlation_id.as_deref();
                AnswerId::derive(correlation, &Digest::of(&arrival.payload))
            };
            (arrivals.iter().map(id).collect(), history::rows(&self.checker))
        });
        let handler = self.process().handler(queue);
        let mut taking: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(async move { handler.receive(arrivals).await });
        let driven = self.drive(&mut taking, None);
        drop(taking);
        if let Some((batch, before)) = answers {
            let after = history::rows(&self.checker);
            self.note(Event::Answered { batch, before, after });
        }
        let is_taken = matches!(&driven, Driven::Done(Ok(())));
        match queue {
            Queue::Requests if is_taken => self.note(Event::Recorded { count: batch.len() }),
            Queue::Requests | Queue::RequestErrors => {
                self.note(Event::MayBeRecorded { count: batch.len() });
            }
            Queue::Answers | Queue::AnswerErrors => {}
        }
        let spoilt = self.plant == Some(Plant::SettlesBeforeItRecords);
        if !spoilt && (!is_taken || settling != Settling::Settled) {
            let to_the_back = settling == Settling::LostToTheBack;
            self.wire.state().give_back(queue, batch, to_the_back);
        }
        match driven {
            Driven::Died => self.die(Fate::Unknown),
            Driven::Done(Err(_)) => self.note(Event::Died),
            Driven::Done(Ok(())) | Driven::Out => {}
        }
    }

    fn begin(&mut self, lane: Lane) {
        if self.process().rounds[lane as usize].is_some() {
            return;
        }
        self.process().begin(lane);
        self.go_on(lane);
        if self.wire.state().is_out(lane) {
            let window = self.wire.state().window(lane).to_vec();
            let window = window.iter().map(|leased| leased.message.message_id).collect();
            let rows = history::rows(&self.checker);
            self.note(Event::Begun { lane, window, rows });
        }
    }

    /// The window of a lane ends.
    fn finish(&mut self, lane: Lane, fates: &[Fate]) {
        if self.wire.state().is_out(lane) {
            self.wire.state().decide(lane, fates);
            self.go_on(lane);
        }
    }

    /// Drives the round of a lane as far as it goes.
    fn go_on(&mut self, lane: Lane) {
        let Some(mut round) = self.process().rounds[lane as usize].take() else { return };
        match self.drive(&mut round, Some(lane)) {
            Driven::Done(ended) => {
                if self.process().end(lane, ended).is_err() {
                    self.note(Event::Died);
                }
            }
            Driven::Out => self.process().rounds[lane as usize] = Some(round),
            Driven::Died => {
                drop(round);
                self.die(Fate::Unknown);
            }
        }
    }

    /// An operator's command: another process on the same store.
    fn order(&mut self, order: Order, pick: Option<u64>) {
        let store: Arc<dyn Store> = Arc::new(self.site().open(Role::Operator));
        let operations =
            Operations { store: Arc::clone(&store), transforms: Arc::clone(&self.transforms) };
        let mia = Operator { name: "mia".into(), reason: "mended".into() };
        self.runtime.block_on(async {
            let statuses = match order {
                Order::Check | Order::Retry | Order::Discard => vec![],
                Order::Restore => vec![ErrorStatus::Discarded],
            };
            let all = ErrorQuery { statuses, limit: 60, ..ErrorQuery::default() };
            let ids = match pick {
                Some(pick) => {
                    let errors = store.errors(&all).await.unwrap();
                    let at = usize::try_from(pick).unwrap() % errors.len().max(1);
                    errors.get(at).map(|error| error.id).into_iter().collect()
                }
                None => operations.select(&all).await.unwrap(),
            };
            match order {
                Order::Check => operations.check(&ids).await,
                Order::Retry => operations.retry(&mia, &ids).await,
                Order::Discard => operations.discard(&mia, &ids).await,
                Order::Restore => operations.restore(&mia, &ids).await,
            }
            .unwrap();
        });
        self.note(Event::Ordered);
    }

    fn sweep(&mut self) {
        let sweep = Arc::clone(&self.process().sweep);
        let mut sweeping: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(async move { sweep.round().await });
        let driven = self.drive(&mut sweeping, None);
        drop(sweeping);
        if let Driven::Died = driven {
            self.die(Fate::Unknown);
        }
    }

    /// All faults cease and everything comes to rest.
    fn end(mut self) -> Seen {
        if self.broken.is_none() {
            self.rest();
            self.broken = invariants::broken(&self.checker).map(|what| format!("at rest: {what}"));
        }
        let mut ending = history::ending(&self.checker);
        let left: i64 =
            self.checker.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
        if left > 0 {
            ending.left.push(format!("{left} messages in the outbox"));
        }
        if !self.wire.state().is_idle() {
            ending.left.push("messages on the queues".to_owned());
        }
        ending.broken = self.broken.take();
        let events = std::mem::take(&mut self.wire.state().events);
        Seen { events, ending }
    }

    fn rest(&mut self) {
        self.process().store.arm(None);
        for side in [Side::Billing, Side::Assets] {
            self.wire.state().away[side as usize] = false;
        }
        self.wire.state().late_frames_come();
        self.late_answers_come();
        self.clock.wait(15 * 60);
        for _ in 0..ROUNDS_MAX {
            self.clock.wait(61);
            let mut moved = false;
            for queue in
                [Queue::Requests, Queue::Answers, Queue::RequestErrors, Queue::AnswerErrors]
            {
                moved |= !self.wire.state().queue(queue).is_empty();
                self.take(queue, 500, Settling::Settled);
            }
            for lane in [Lane::Location, Lane::Reply, Lane::Note] {
                self.begin(lane);
                moved |= self.wire.state().is_out(lane);
                self.finish(lane, &[Fate::Confirmed]);
            }
            while !self.wire.state().locations.is_empty() {
                moved = true;
                self.answer(Behaviour::Positive);
            }
            let under_way = "SELECT count(*) FROM requests WHERE state IN (0, 1, 2)";
            let under_way: i64 = self.checker.query_row(under_way, [], |row| row.get(0)).unwrap();
            self.sweep();
            if !moved && under_way == 0 {
                break;
            }
            if !moved {
                self.clock.wait(15 * 60);
            }
        }
    }
}

fn lane(way: Way) -> Lane {
    match way {
        Way::Location => Lane::Location,
        Way::Reply => Lane::Reply,
        Way::Note => Lane::Note,
    }
}
