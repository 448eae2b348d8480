//! The fence: a store that was put back from an older copy, and a bridge that another one has
//! relieved, are recognised before they publish anything.
//!
//! A run of the bridge makes the fence its own when it starts, and moves it on after what it tells
//! of is durable. Who finds the fence of another run knows that somebody started after it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::gate::{BEAT, Gate};
use super::health::Health;
use super::ports::{Clock, Operator, Store, StoreError};
use crate::domain::{Fence, Mark, Standing};

/// How often the fence is moved on at most, and how soon after something was recorded.
const EVERY: Duration = Duration::from_secs(1);

/// The wait before it is tried again while the broker is away, and without the right to.
const AWAY_PAUSE: Duration = Duration::from_secs(5);
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// How long the last fence may take at the end. The next start can do without it.
const LAST_WAIT_MAX: Duration = Duration::from_secs(2);

/// The fence on the broker.
#[async_trait]
pub trait FenceQueue: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// Reads the fence and leaves it there. Where one is expected, one that somebody else reads at
    /// this moment is waited for.
    async fn read(&self, is_expected: bool) -> Result<Option<Fence>, FenceError>;

    /// Puts this fence in the place of the one that is there, if that is of the same run, or of the
    /// run `before`; else gives back what it found and leaves it. Confirmed when it returns.
    async fn replace(
        &self,
        fence: &Fence,
        before: Option<&str>,
    ) -> Result<Option<Fence>, FenceError>;

    /// Whether some bridge consumes the requests now.
    async fn is_attended(&self) -> Result<bool, FenceError>;

    /// Whether there is no usable connection at the moment.
    async fn is_cut(&self) -> bool;

    /// Closes the connection.
    async fn close(&self);
}

/// Why the fence could not be read or written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FenceError {
    /// The broker is away or silent: it is tried again.
    #[error("{0}")]
    Away(String),
    /// The queue is not there, or this user has no right to it: the bridge works without a fence.
    #[error("{0}")]
    Refused(String),
}

/// Why a bridge must not run on its store: what the fence tells is not what the store has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Behind or foreign.
    pub standing: Standing,
    /// Where the fence is.
    pub place: String,
    /// The fence.
    pub fence: Fence,
    /// The store.
    pub mark: Mark,
    /// When the store was written to last.
    pub written_until: Option<Timestamp>,
    /// Whether a bridge is at work.
    pub is_attended: bool,
}

impl Refusal {
    /// From when to when things happened that the store knows nothing of.
    pub fn window(&self) -> String {
        let since = match (self.standing, self.written_until) {
            (Standing::Behind, Some(at)) => second(at),
            _ => "the beginning".to_owned(),
        };
        format!("{since} to {}", second(self.fence.at))
    }

    /// The ways out.
    pub fn ways_out(&self) -> String {
        let first = match self.standing {
            Standing::Foreign => {
                "start the bridge on the store that the fence is of (setting store.url; a path \
                 without a leading slash begins where you are)"
            }
            Standing::Behind | Standing::Alone | Standing::Well => {
                "put the newer store back, if there is one"
            }
        };
        format!(
            "{first}; else stop every other bridge on these queues, `tieline store accept-older \
             --reason TEXT`, start, and ask billing to send again what it sent from {}; \
             docs/operations.md, \"The store is older than the fence\"",
            self.window()
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, fence, mark, .. } = self;
        let at = second(fence.at);
        if self.standing == Standing::Foreign {
            write!(
                f,
                "the fence is of another store: {place} has store {} (epoch {}, journal line {}, \
                 written {at} by {}), expected store {}",
                fence.store, fence.epoch, fence.line, fence.run, mark.store
            )?;
        } else {
            let until = self.written_until.map_or("never".to_owned(), second);
            write!(
                f,
                "the store is older than what was published from it: it ends at journal line {} of \
                 {until} (outbox place {}, epoch {}), and the fence on {place} tells of line {} of \
                 {at} (place {}, epoch {}, written by {}). Missing here are {} lines and up to {} \
                 messages that may have been published, from {}",
                mark.line,
                mark.place,
                mark.epoch,
                fence.line,
                fence.place,
                fence.epoch,
                fence.run,
                (fence.line - mark.line).max(0),
                (fence.place - mark.place).max(0),
                self.window()
            )?;
        }
        if self.is_attended {
            f.write_str("; a bridge consumes the requests at this moment")?;
        }
        Ok(())
    }
}

/// Why a bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Another bridge has taken over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "another bridge has taken over: {place} has the fence of {}, store {}, epoch {}, written {}; \
     this one is {run}, store {store}. It has stopped and publishes nothing more",
    .fence.run, .fence.store, .fence.epoch, second(.fence.at)
)]
pub struct Relieved {
    place: String,
    fence: Fence,
    run: String,
    store: crate::domain::StoreId,
}

/// Keeps the fence of one run of the bridge.
pub struct Keeper {
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn FenceQueue>,
    pub clock: Arc<dyn Clock>,
    pub gate: Arc<Gate>,
    pub health: Arc<Health>,
    /// The name of the run; no other run, anywhere, has the same.
    pub run: String,
}

/// What the keeper has done so far.
#[derive(Default)]
struct State {
    /// The store as the last fence told of it.
    told: Option<Mark>,
    /// Why the last one could not be written, so that the log says it once.
    trouble: Option<FenceError>,
    /// Whether the connection was lost since the fence was last seen.
    was_cut: bool,
    /// The run whose fence may be replaced besides this one's.
    before: Option<String>,
    /// Before this it is not tried again, unless somebody waits for it.
    not_before: Option<Instant>,
}

impl Keeper {
    /// Compares the store with the fence and makes the fence this run's own. Nothing may be consumed
    /// or published before. Gives what the fence tells, if it could be written.
    pub async fn begin(&self) -> Result<Option<Mark>, BeginError> {
        let mut mark = self.store.mark().await?;
        let found = match self.queue.read(!mark.is_blank()).await {
            Ok(found) => found,
            Err(error) => {
                self.failed(&mut State::default(), error);
                return Ok(None);
            }
        };
        point!("fence.read");
        match compare(self.store.as_ref(), self.queue.as_ref(), &mark, found.as_ref()).await? {
            Some(refusal) if refusal.is_attended || !mark.is_blank() => {
                return Err(BeginError::Refused(refusal.into()));
            }
            // Nothing can be published from it that is out of date.
            Some(refusal) if refusal.standing == Standing::Foreign => {
                tracing::warn!(
                    "an empty store takes the place of another one: {refusal}. If that is not what \
                     you want, stop and {}",
                    refusal.ways_out()
                );
                mark = self.store.accept(&as_operator(), &refusal.fence).await?;
            }
            Some(refusal) => return Err(BeginError::Refused(refusal.into())),
            None if found.is_none() && !mark.is_blank() => tracing::warn!(
                "there is no fence on {}: whether this store is older than what was published from \
                 it is not known; a fence is made",
                self.queue.place()
            ),
            None => {}
        }
        point!("fence.compared");
        let before = found.as_ref().map(|fence| fence.run.as_str());
        match self.queue.replace(&self.fence(&mark), before).await {
            Ok(None) => {
                self.health.fence(Ok(self.clock.now()));
                Ok(Some(mark))
            }
            Ok(Some(fence)) => {
                let place = self.queue.place();
                let (standing, written_until) = (Standing::Foreign, None);
                let is_attended = true;
                let refusal = Refusal { standing, place, fence, mark, written_until, is_attended };
                Err(BeginError::Refused(refusal.into()))
            }
            Err(error) => {
                self.failed(&mut State::default(), error);
                Ok(None)
            }
        }
    }

    /// Moves the fence on for as long as anything of this run is at work. Returns only when another
    /// bridge has taken over: the gate stays shut then, and nothing of this one may go on.
    pub async fn run(&self, told: Option<Mark>) -> Relieved {
        tokio::select! {
            relieved = self.keep(told) => relieved,
            never = self.beat() => match never {},
        }
    }

    /// Beats beside what may wait for the broker.
    async fn beat(&self) -> Infallible {
        loop {
            sleep(BEAT).await;
            self.gate.beat();
        }
    }

    /// Writes the last fence, when everything else has ended.
    pub async fn end(&self) {
        let last = async {
            point!("fence.last");
            if let Ok(mark) = self.store.mark().await {
                drop(self.queue.replace(&self.fence(&mark), None).await);
            }
            self.queue.close().await;
        };
        if tokio::time::timeout(LAST_WAIT_MAX, last).await.is_err() {
            tracing::debug!("the last fence was not written in time");
        }
    }

    async fn keep(&self, told: Option<Mark>) -> Relieved {
        let mut state = State { told, ..State::default() };
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.gate.until_asked() => {}
            }
            self.gate.beat();
            state.was_cut |= self.queue.is_cut().await;
            let wanted = self.gate.wanted();
            let may_try = state.not_before.is_none_or(|at| at <= Instant::now());
            let kept = if wanted.is_some() || (state.was_cut && may_try) {
                self.look(&mut state, wanted).await
            } else if may_try {
                self.move_on(&mut state).await
            } else {
                Ok(())
            };
            if let Err(relieved) = kept {
                return relieved;
            }
        }
    }

    /// Reads the fence. Without a right to it nothing can be known, and nothing is held up.
    async fn look(&self, state: &mut State, wanted: Option<u64>) -> Result<(), Relieved> {
        let is_over = match self.queue.read(true).await {
            Ok(Some(fence)) if fence.run != self.run && state.told.is_some() => {
                return Err(self.relieved(fence).await);
            }
            Ok(Some(_) | None) => {
                state.was_cut = false;
                true
            }
            Err(error) => {
                let is_refused = matches!(error, FenceError::Refused(_));
                self.failed(state, error);
                is_refused
            }
        };
        if is_over && let Some(look) = wanted {
            self.gate.is_ours(look);
        }
        Ok(())
    }

    /// Writes a fence if the store has changed since the last one.
    async fn move_on(&self, state: &mut State) -> Result<(), Relieved> {
        // Whoever uses the store tells of its trouble.
        let Ok(mark) = self.store.mark().await else { return Ok(()) };
        if state.told.as_ref() == Some(&mark) && state.trouble.is_none() {
            self.health.fence_is_kept();
            return Ok(());
        }
        state.not_before = Some(Instant::now() + EVERY);
        match self.queue.replace(&self.fence(&mark), state.before.as_deref()).await {
            Ok(None) => {
                if state.trouble.take().is_some() {
                    tracing::info!("the fence is kept again");
                }
                state.told = Some(mark);
                self.health.fence(Ok(self.clock.now()));
                Ok(())
            }
            // It could not be read at the start, and is one of before.
            Ok(Some(fence))
                if state.told.is_none() && mark.against(Some(&fence)) == Standing::Well =>
            {
                state.before = Some(fence.run);
                Ok(())
            }
            Ok(Some(fence)) => Err(self.relieved(fence).await),
            Err(error) => {
                self.failed(state, error);
                Ok(())
            }
        }
    }

    fn failed(&self, state: &mut State, error: FenceError) {
        if state.trouble.as_ref() != Some(&error) {
            tracing::warn!("the fence is not kept: {error}");
        }
        self.health.fence(Err(error.to_string()));
        let pause = match error {
            FenceError::Away(_) => AWAY_PAUSE,
            FenceError::Refused(_) => REFUSED_PAUSE,
        };
        state.not_before = Some(Instant::now() + pause);
        state.trouble = Some(error);
    }

    async fn relieved(&self, fence: Fence) -> Relieved {
        let store = self.store.mark().await.map_or(fence.store, |mark| mark.store);
        Relieved { place: self.queue.place(), fence, run: self.run.clone(), store }
    }

    fn fence(&self, mark: &Mark) -> Fence {
        mark.fence(&self.run, self.clock.now())
    }
}

/// The bridge itself, where nobody is asked.
fn as_operator() -> Operator {
    Operator { name: "tieline".to_owned(), reason: "the store was empty".to_owned() }
}

/// Compares a store with a fence; tells why a bridge must not run on it, if so.
pub async fn compare(
    store: &dyn Store,
    queue: &dyn FenceQueue,
    mark: &Mark,
    fence: Option<&Fence>,
) -> Result<Option<Refusal>, StoreError> {
    let (standing, Some(fence)) = (mark.against(fence), fence) else { return Ok(None) };
    match standing {
        _ if planted!("runs on an older store") => Ok(None),
        Standing::Well | Standing::Alone => Ok(None),
        Standing::Behind | Standing::Foreign => Ok(Some(Refusal {
            standing,
            place: queue.place(),
            fence: fence.clone(),
            mark: mark.clone(),
            written_until: store.written_until().await?,
            // Who cannot be asked counts as being there.
            is_attended: queue.is_attended().await.unwrap_or(true),
        })),
    }
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
