//! What waits goes out: leased, published as a window, recorded (Guaranteed Delivery). One loop
//! for each lane; it takes no input and reads the store, so that work and recovery take one path.
//!
//! An outage of the other side is nobody's failure: the lane pauses, tries with one message at a
//! time, and goes on by itself. [`super::outage`] has what else becomes of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::message::What;
use super::operator::Operations;
use super::outage::{ParkAfter, Release, Trials};
use super::ports::{Clock, Handover, Lane, Leased, Outage, Publisher, Store, StoreError};
use super::trace::{Span, Step, TraceParent, Tracer};
use crate::domain::{Failure, FailureClass};

/// The limits of a lane.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// How many messages are published before their confirms are awaited; and how many one transaction
    /// parks or releases.
    pub window: u32,
    /// How long a lease lasts; longer than a confirm may take.
    pub lease: SignedDuration,
    /// How often the store is read when it has no news.
    pub poll: Duration,
    /// The longest wait between two tries while the other side is away.
    pub retry_max: Duration,
    pub park_after: ParkAfter,
    pub release: Release,
}

/// How many windows are out at a time, so that one is leased and recorded while another waits for its
/// confirms. Nothing of a service point or sync request is in two of them.
const WINDOWS_AT_A_TIME: usize = 2;

/// How many windows a round sends before it looks up.
const WINDOWS_PER_ROUND: usize = 16;

/// The loop of one lane.
pub struct Dispatch {
    pub lane: Lane,
    pub store: Arc<dyn Store>,
    pub publisher: Arc<dyn Publisher>,
    pub operations: Arc<Operations>,
    pub clock: Arc<dyn Clock>,
    pub tracer: Arc<dyn Tracer>,
    pub health: Arc<Health>,
    pub limits: Limits,
}

/// What a round leaves to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// There may be more.
    Again,
    /// Nothing more is due; the store tells when something is.
    Idle,
    /// The other side is away: wait longer each time.
    BackOff,
}

/// What the loop of a lane knows between two rounds.
#[derive(Debug)]
pub struct Memory {
    /// Since when the other side is away, as the store knows it too.
    outage: Option<Outage>,
    pace: Pace,
    /// How handovers ended that the store could not record.
    unrecorded: Vec<(i64, Handover)>,
    trials: Trials,
}

impl Memory {
    /// What a loop knows when it begins.
    pub fn new(outage: Option<Outage>) -> Self {
        Self { outage, pace: Pace::Calm, unrecorded: Vec::new(), trials: Trials::default() }
    }
}

/// Whether there is more to do than one window takes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Pace {
    #[default]
    Calm,
    Busy,
}

/// How a window ended.
enum Window {
    /// Nothing was due.
    Empty,
    /// Some of it, or all, went through.
    Through(Pace),
    /// Nothing of it did.
    Lost(Failure),
}

/// The store failed; how the handovers of a window ended is not recorded.
struct Trouble {
    error: StoreError,
    handovers: Vec<(i64, Handover)>,
}

/// How the windows of a round ended.
#[derive(Default)]
struct Windows {
    pace: Pace,
    went_through: bool,
    failure: Option<Failure>,
}

impl Dispatch {
    /// Runs until the stop; a window that is out is finished first.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut memory = Memory::new(self.store.outage(self.lane).await?);
        let news = self.store.news(self.lane);
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            let wait = match self.round(&mut memory).await {
                Ok(Next::Again) => {
                    failures = 0;
                    continue;
                }
                Ok(Next::Idle) => {
                    failures = 0;
                    self.limits.poll
                }
                Ok(Next::BackOff) => {
                    failures = failures.saturating_add(1);
                    back_off(failures, self.limits.retry_max)
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.health.store_failed(&error);
                    tracing::error!(lane = self.lane.as_str(), %error, "the store failed");
                    back_off(failures, self.limits.retry_max)
                }
            };
            let woken = async {
                news.notified().await;
                // While the other side is away, news must not turn the wait into a spin.
                if failures > 0 {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = woken => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    /// One bounded round: lease, publish, record; two windows at a time while there is much to do.
    /// What a round before could not record, because the store failed, is recorded first: its leases
    /// would hold it back for minutes.
    pub async fn round(&self, memory: &mut Memory) -> Result<Next, StoreError> {
        let Memory { outage, pace, unrecorded, trials } = memory;
        planted!("never resumes" if outage.is_some(), return Ok(Next::BackOff));
        if !unrecorded.is_empty() {
            self.store.finish(self.lane, unrecorded.clone()).await?;
            unrecorded.clear();
        }
        if let Err(failure) = self.publisher.open().await {
            return self.unreachable(outage, failure).await;
        }
        let (limit, at_a_time) = match (&outage, &pace) {
            (Some(_), _) => (1, 1),
            (None, Pace::Calm) => (self.limits.window, 1),
            (None, Pace::Busy) => (self.limits.window, WINDOWS_AT_A_TIME),
        };
        let windows = self.windows(limit, at_a_time, unrecorded).await?;
        self.health.store_works();
        *pace = windows.pace;
        match windows.failure {
            Some(failure) => self.unreachable(outage, failure).await,
            None if windows.went_through => {
                self.reachable(outage).await?;
                *trials = Trials::default();
                // A window that is not full has taken all that was due; since then, there are news.
                Ok(if *pace == Pace::Busy { Next::Again } else { Next::Idle })
            }
            None => self.nothing_waits(outage, trials).await,
        }
    }

    /// Sends windows while they are full, up to so many at a time. Each is seen to its end, whatever
    /// becomes of the others: a publish that is given up half way would leave its confirms behind.
    async fn windows(
        &self,
        limit: u32,
        at_a_time: usize,
        unrecorded: &mut Vec<(i64, Handover)>,
    ) -> Result<Windows, StoreError> {
        let mut out: FuturesUnordered<_> = (0..at_a_time).map(|_| self.window(limit)).collect();
        let mut begun = at_a_time;
        let mut windows = Windows::default();
        let mut trouble = None;
        while let Some(window) = out.next().await {
            match window {
                Ok(Window::Empty) => windows.pace = Pace::Calm,
                Ok(Window::Through(pace)) => {
                    windows.went_through = true;
                    windows.pace = pace;
                }
                Ok(Window::Lost(failure)) => windows.failure = Some(failure),
                Err(Trouble { error, handovers }) => {
                    unrecorded.extend(handovers);
                    trouble = Some(error);
                }
            }
            let goes_on = trouble.is_none() && windows.failure.is_none();
            if goes_on && windows.pace == Pace::Busy && begun < WINDOWS_PER_ROUND {
                begun += 1;
                out.push(self.window(limit));
            }
        }
        trouble.map_or(Ok(windows), Err)
    }

    async fn window(&self, limit: u32) -> Result<Window, Trouble> {
        let began_at = self.clock.now();
        let until = began_at.checked_add(self.limits.lease).unwrap_or(Timestamp::MAX);
        let leased = self.store.lease(self.lane, limit, until).await;
        let leased = leased.map_err(|error| Trouble { error, handovers: Vec::new() })?;
        if leased.is_empty() {
            return Ok(Window::Empty);
        }
        point!("dispatch.leased" @ self.lane.as_str());
        planted!("records a confirm before it publishes", self.confirm(&leased).await);
        let results = self.publisher.publish(&leased).await;
        point!("dispatch.published" @ self.lane.as_str());
        let (handovers, failure) = judge(&leased, &results);
        self.count(&results);
        self.trace(&leased, &results, began_at);
        let finished = self.store.finish(self.lane, handovers.clone()).await;
        finished.map_err(|error| Trouble { error, handovers })?;
        point!("dispatch.finished" @ self.lane.as_str());
        Ok(match failure {
            Some(failure) if results.iter().all(Result::is_err) => Window::Lost(failure),
            Some(_) | None if leased.len() as u64 >= u64::from(limit) => {
                Window::Through(Pace::Busy)
            }
            Some(_) | None => Window::Through(Pace::Calm),
        })
    }

    /// Records that a window is confirmed, whatever the broker says.
    #[cfg(feature = "points")]
    async fn confirm(&self, leased: &[Leased]) {
        let confirmed = leased.iter().map(|one| (one.place, Handover::Confirmed)).collect();
        self.store.finish(self.lane, confirmed).await.ok();
    }

    fn count(&self, results: &[Result<(), Failure>]) {
        let confirmed = results.iter().filter(|result| result.is_ok()).count() as u64;
        let failed = results.len() as u64 - confirmed;
        let lane = self.lane.as_str();
        metrics::counter!("tieline_messages_published_total", "lane" => lane, "result" => "confirmed")
            .increment(confirmed);
        metrics::counter!("tieline_messages_published_total", "lane" => lane, "result" => "failed")
            .increment(failed);
    }

    fn trace(&self, leased: &[Leased], results: &[Result<(), Failure>], began_at: Timestamp) {
        if !self.tracer.is_on() {
            return;
        }
        for (one, result) in leased.iter().zip(results) {
            let (step, request) = match &one.message.what {
                What::Location { request, .. } => (Step::PublishLocation, request),
                What::Reply { request, .. } => (Step::PublishReply, request),
                What::Note { .. } => continue,
            };
            let parent = one.message.trace.as_deref().and_then(|text| text.parse().ok());
            let span = Span {
                step,
                parent: parent.unwrap_or_else(|| TraceParent::of_request(*request)),
                began_at,
                attributes: &[
                    ("messaging.system", "rabbitmq".to_owned()),
                    ("messaging.message.id", one.message.message_id.to_string()),
                    ("tieline.request.id", request.to_string()),
                    ("tieline.confirmed", result.is_ok().to_string()),
                ],
            };
            self.tracer.record(&span);
        }
    }
}

/// What the results of a window mean for each message of it. When others went through, a refused
/// message is at fault itself and counted; when none did, the lane is out and nobody is.
fn judge(
    leased: &[Leased],
    results: &[Result<(), Failure>],
) -> (Vec<(i64, Handover)>, Option<Failure>) {
    let some_went_through = results.iter().any(Result::is_ok);
    let mut first = None;
    let handovers = leased.iter().zip(results).map(|(one, result)| {
        let handover = match result {
            Ok(()) => Handover::Confirmed,
            Err(failure) => {
                first.get_or_insert_with(|| failure.clone());
                planted!("takes a failure for a confirm", return (one.place, Handover::Confirmed));
                // In doubt means that the connection was lost: that is never the message's fault.
                if some_went_through && failure.code.class() != FailureClass::InDoubt {
                    Handover::Failed(failure.clone())
                } else {
                    Handover::Interrupted
                }
            }
        };
        (one.place, handover)
    });
    let handovers = handovers.collect();
    (handovers, first)
}

/// 0.2 s, doubling with each failure in a row.
fn back_off(failures: u32, max: Duration) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    Duration::from_millis(200).saturating_mul(doubled).min(max)
}
