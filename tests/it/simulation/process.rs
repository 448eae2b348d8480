//! The bridge as a process: its real use cases on its real store, and all that it has in memory.

use std::collections::HashSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tieline::bridge::answers::Answers;
use tieline::bridge::desk::QueueDesk;
use tieline::bridge::dispatch::{Dispatch, Limits, Memory, Next};
use tieline::bridge::intake::Intake;
use tieline::bridge::operator::Operations;
use tieline::bridge::outage::{ParkAfter, Release};
use tieline::bridge::ports::{ReplyWriter, Rules};
use tieline::bridge::sweep::Sweep;
use tieline::bridge::trace::NoTracer;
use tieline::bridge::{Clock, Handler, Health, Lane, Store, StoreError, Transforms};
use tieline::domain::{Leg, RetryPolicy};
use tieline::store::{Role, Settings, Sqlite};

use super::mortal::Mortal;
use super::planted::Plant;
use super::script::Queue;
use super::wire::Wire;
use crate::support::until;

/// A clock that stands still unless the simulation moves it.
pub(super) struct StoppedClock(Mutex<Timestamp>);

impl StoppedClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new("2025-03-14T08:00:00Z".parse().unwrap())))
    }

    pub(super) fn wait(&self, seconds: u64) {
        let mut now = self.0.lock().unwrap();
        *now += Duration::from_secs(seconds);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// What outlives a process.
pub(super) struct Site<'a> {
    pub(super) path: &'a Path,
    pub(super) clock: &'a Arc<StoppedClock>,
    pub(super) transforms: &'a Arc<Transforms>,
    pub(super) wire: &'a Wire,
    pub(super) release: Release,
    pub(super) plant: Option<Plant>,
}

impl Site<'_> {
    pub(super) fn open(&self, role: Role) -> Sqlite {
        let clock: Arc<dyn Clock> = Arc::<StoppedClock>::clone(self.clock);
        let replies: Arc<dyn ReplyWriter> = Arc::<Transforms>::clone(self.transforms);
        let settings = Settings { readers: 1, cache_kib: 512, ..Settings::new(self.path) };
        let open = || {
            let (clock, replies) = (Arc::clone(&clock), Arc::clone(&replies));
            Sqlite::open(&settings, clock, rules(), replies, role)
        };
        // A process that another test begins has every open file for a moment, the lock too.
        until("the store to be free", || match open() {
            Err(StoreError::Open { why, .. }) if why.contains("has it open as a bridge") => None,
            opened => Some(opened.unwrap()),
        })
    }
}

fn rules() -> Rules {
    Rules {
        retry: RetryPolicy {
            tries_max: 2,
            delay_min: SignedDuration::from_secs(1),
            delay_max: SignedDuration::from_secs(60),
        },
        answer_timeout: SignedDuration::from_mins(15),
    }
}

/// A round of a lane that is under way.
pub(super) type Round = Pin<Box<dyn Future<Output = Ended>>>;

/// What a loop knows of its lane: nothing until it has read the store.
#[derive(Default)]
pub(super) enum Known {
    #[default]
    Unread,
    Read(Memory),
}

/// How a round ended, and what the loop remembers of its lane.
pub(super) struct Ended {
    pub(super) known: Known,
    pub(super) next: Result<Next, StoreError>,
}

/// A process.
pub(super) struct Process {
    pub(super) store: Arc<Mortal>,
    handlers: [Arc<dyn Handler>; 4],
    dispatches: [Arc<Dispatch>; 3],
    pub(super) sweep: Arc<Sweep>,
    known: [Known; 3],
    pub(super) rounds: [Option<Round>; 3],
}

impl Process {
    pub(super) fn start(site: &Site<'_>, leased_before: HashSet<i64>) -> Self {
        let store = Arc::new(Mortal::new(site.open(Role::Bridge), leased_before, site.plant));
        let port: Arc<dyn Store> = Arc::<Mortal>::clone(&store);
        let transforms = site.transforms;
        let clock: Arc<dyn Clock> = Arc::<StoppedClock>::clone(site.clock);
        let health = Arc::new(Health::default());
        let desk = |leg| -> Arc<dyn Handler> {
            Arc::new(QueueDesk {
                store: Arc::clone(&port),
                transforms: Arc::clone(transforms),
                leg,
            })
        };
        let intake = Intake {
            store: Arc::clone(&port),
            transforms: Arc::clone(transforms),
            tracer: Arc::new(NoTracer),
            clock: Arc::clone(&clock),
        };
        let answers = Answers {
            store: Arc::clone(&port),
            transforms: Arc::clone(transforms),
            tracer: Arc::new(NoTracer),
            clock: Arc::clone(&clock),
            user: None,
        };
        let operations =
            Arc::new(Operations { store: Arc::clone(&port), transforms: Arc::clone(transforms) });
        let dispatch = |lane| {
            Arc::new(Dispatch {
                lane,
                store: Arc::clone(&port),
                publisher: site.wire.publisher(lane),
                operations: Arc::clone(&operations),
                clock: Arc::clone(&clock),
                tracer: Arc::new(NoTracer),
                health: Arc::clone(&health),
                limits: limits(site.release),
            })
        };
        Self {
            handlers: [Arc::new(intake), Arc::new(answers), desk(Leg::Request), desk(Leg::Answer)],
            dispatches: [Lane::Location, Lane::Reply, Lane::Note].map(dispatch),
            sweep: Arc::new(Sweep {
                store: Arc::clone(&port),
                health: Arc::clone(&health),
                every: Duration::from_secs(1),
            }),
            store,
            known: Default::default(),
            rounds: [None, None, None],
        }
    }

    pub(super) fn handler(&self, queue: Queue) -> Arc<dyn Handler> {
        Arc::clone(&self.handlers[queue as usize])
    }

    /// Begins a round of a lane, as its loop would.
    pub(super) fn begin(&mut self, lane: Lane) {
        let (store, dispatch) = (Arc::clone(&self.store), &self.dispatches[lane as usize]);
        let dispatch = Arc::clone(dispatch);
        let known = std::mem::take(&mut self.known[lane as usize]);
        self.rounds[lane as usize] = Some(Box::pin(async move {
            let mut memory = match known {
                Known::Read(memory) => memory,
                Known::Unread => match store.outage(lane).await {
                    Ok(outage) => Memory::new(outage),
                    Err(error) => return Ended { known: Known::Unread, next: Err(error) },
                },
            };
            let next = dispatch.round(&mut memory).await;
            Ended { known: Known::Read(memory), next }
        }));
    }

    pub(super) fn end(&mut self, lane: Lane, ended: Ended) -> Result<Next, StoreError> {
        self.known[lane as usize] = ended.known;
        ended.next
    }
}

fn limits(release: Release) -> Limits {
    Limits {
        window: 3,
        lease: SignedDuration::from_secs(60),
        poll: Duration::from_secs(1),
        retry_max: Duration::from_mins(1),
        park_after: ParkAfter::After(SignedDuration::from_mins(10)),
        release,
    }
}
