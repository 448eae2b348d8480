//! The stand-in of billing: publishes a plan of requests and hears what it is told about them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::broker::{Broker, Letter, Outlet, to_queue};
use super::history::{Event, History};
use super::plan::{Expectation, Kind, Mix, Plan, Planned, Style};
use super::quiet::Quiet;
use super::replies::Replies;
use super::tally::{Count, Ended, Live, Tally};
use crate::amqp::Role;
use crate::bridge::ports::{Clock, Handler, Receiving};
use crate::bridge::{Arrival, Properties};
use crate::domain::Digest;

/// How many windows a second are published at a given rate.
const WINDOWS_PER_SECOND: f64 = 20.0;

/// How long no reply must come, once every request was told, for the run to be over: time for what
/// should not come.
const SETTLED_WAIT: Duration = Duration::from_secs(1);

/// How many requests without a reply the tally names.
const UNTOLD_MAX: usize = 5;

/// What is sent, and how.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// What everything follows from.
    pub seed: u64,
    /// How many messages.
    pub number: u64,
    /// Which share of them is what.
    pub mix: Mix,
    /// How many a second; without one, as fast as the broker confirms.
    pub rate: Option<f64>,
    /// How many are published before their confirms are awaited, at most.
    pub window: usize,
    /// For how long no reply may come before the run gives up on those that are missing.
    pub quiet: Duration,
    /// Whether it goes on when every request was told.
    pub stays: bool,
    /// A file for the history.
    pub history: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            number: 1_000,
            mix: Mix::default(),
            rate: None,
            window: 200,
            quiet: Duration::from_secs(10),
            stays: false,
            history: None,
        }
    }
}

/// Publishes the plan and hears replies until every request was told, nothing comes any more, or
/// `stop`.
pub async fn run(
    options: Options,
    broker: &Broker,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<Tally, Error> {
    options.mix.check().map_err(Error::Mix)?;
    let history = History::begin(options.history.as_deref(), clock).map_err(Error::History)?;
    let (replies, quiet) = (Mutex::default(), Quiet::new());
    let desk = Arc::new(Desk { replies, quiet, live, history });
    let over = stop.child_token();
    let handler: Arc<dyn Handler> = Arc::<Desk>::clone(&desk);
    let hearing = Box::pin(broker.consumer(Role::Reply).run(handler, over.clone()));
    let sending = async {
        let outlet = broker.outlet();
        desk.send(&options, broker.topology.queue(Role::Request), &outlet, &stop).await;
        let ended = desk.wait(&options, &stop).await;
        outlet.close().await;
        over.cancel();
        ended
    };
    let (ended, ()) = tokio::join!(sending, hearing);
    desk.live.set(Count::SyncRequestsUntold, desk.replies().untold());
    desk.history.end().map_err(Error::History)?;
    let untold = desk.replies().untold_examples(UNTOLD_MAX);
    Ok(Tally { untold, ..desk.live.tally("billing", ended) })
}

/// Where billing keeps its books.
struct Desk {
    replies: Mutex<Replies>,
    quiet: Quiet,
    live: Arc<Live>,
    history: History,
}

impl Desk {
    fn replies(&self) -> MutexGuard<'_, Replies> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the plan, in order: a window is confirmed before the next one goes out.
    async fn send(
        &self,
        options: &Options,
        queue: &str,
        outlet: &Outlet,
        stop: &CancellationToken,
    ) {
        let mut plan = Plan::new(options.seed, options.number, options.mix);
        let pace = Pace::of(options);
        let mut sent = 0;
        while !stop.is_cancelled() {
            tokio::select! {
                () = pace.until_due(sent) => {}
                () = stop.cancelled() => return,
            }
            let window: Vec<_> = plan.by_ref().take(pace.window).collect();
            if window.is_empty() {
                return;
            }
            sent += window.len() as u64;
            for planned in &window {
                self.expect(planned);
            }
            let letters = window.into_iter().map(|planned| letter(planned, queue)).collect();
            let told = |sent: &Sent, result: Result<(), &str>| self.told(sent, result);
            let in_doubt = outlet.publish(letters, &self.live, stop, told).await;
            self.history.flush();
            self.quiet.disturb();
            if !in_doubt.is_empty() {
                return;
            }
        }
    }

    fn expect(&self, planned: &Planned) {
        self.live.add(planned.kind.count());
        self.replies().expect(planned);
        if !self.history.is_kept() {
            return;
        }
        let code = match planned.expectation {
            Expectation::Parked(code)
            | Expectation::ParkedPerhapsTold(code)
            | Expectation::ParkedUntold(code) => Some(code.as_str()),
            Expectation::Delivered | Expectation::Nothing => None,
        };
        self.history.write(&Event::Sending {
            place: planned.place,
            kind: planned.kind.as_str(),
            sync_request: &planned.sync_request,
            service_point: &planned.service_point,
            revision: planned.revision,
            digest: Digest::of(&planned.payload).to_string(),
            code,
        });
    }

    fn told(&self, sent: &Sent, result: Result<(), &str>) {
        let place = sent.place;
        match result {
            Ok(()) => self.history.write(&Event::Sent { place }),
            Err(why) => {
                self.replies().doubt(&sent.sync_request);
                self.history.write(&Event::Unknown { place, why });
            }
        }
    }

    async fn wait(&self, options: &Options, stop: &CancellationToken) -> Ended {
        let quiet = options.quiet;
        loop {
            let untold = self.replies().untold();
            self.live.set(Count::SyncRequestsUntold, untold);
            if untold == 0 && !options.stays && self.quiet.lasts(quiet.min(SETTLED_WAIT)) {
                return Ended::Settled;
            }
            if self.quiet.lasts(quiet) {
                return Ended::Quiet;
            }
            tokio::select! {
                () = sleep(Quiet::LOOK_EVERY) => {}
                () = stop.cancelled() => return Ended::Stopped,
            }
        }
    }
}

impl Handler for Desk {
    fn receive(&self, batch: Vec<Arrival>) -> Receiving<'_> {
        Box::pin(async move {
            let mut replies = self.replies();
            for arrival in &batch {
                replies.take(arrival, &self.live, &self.history);
            }
            drop(replies);
            self.history.flush();
            self.quiet.disturb();
            Ok(())
        })
    }
}

/// How fast to publish.
struct Pace {
    begun: Instant,
    rate: Option<f64>,
    window: usize,
}

impl Pace {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    fn of(options: &Options) -> Self {
        let most = options.window.max(1);
        let window = options.rate.map_or(most, |rate| (rate / WINDOWS_PER_SECOND) as usize);
        Self { begun: Instant::now(), rate: options.rate, window: window.clamp(1, most) }
    }

    /// Waits until the next message is due, after so many.
    #[expect(clippy::cast_precision_loss, reason = "counts of messages are small")]
    async fn until_due(&self, sent: u64) {
        if let Some(rate) = self.rate.filter(|rate| *rate > 0.0) {
            let wait = Duration::try_from_secs_f64(sent as f64 / rate).unwrap_or_default();
            sleep_until(self.begun + wait).await;
        }
    }
}

/// What is remembered of a message while it is published.
struct Sent {
    place: u64,
    sync_request: String,
}

/// A message of the plan as billing publishes it.
fn letter(planned: Planned, queue: &str) -> Letter<Sent> {
    let usual = Properties {
        content_type: Some("application/xml".into()),
        delivery_mode: Some(2),
        message_id: Some(planned.message_id()),
        ..Properties::default()
    };
    let properties = match planned.style {
        Style::Full => Properties {
            correlation_id: Some(planned.correlation()),
            kind: Some("spSyncRequest".into()),
            app_id: Some("OU_CCB_01".into()),
            ..usual
        },
        Style::MessageId => usual,
        Style::Bare => Properties::default(),
    };
    let sent = Sent { place: planned.place, sync_request: planned.sync_request };
    (sent, to_queue(queue, properties, planned.payload))
}

impl Kind {
    fn count(self) -> Count {
        match self {
            Self::Good => Count::Good,
            Self::Newer => Count::Newer,
            Self::Corrected => Count::Corrected,
            Self::Duplicate => Count::Duplicate,
            Self::Malformed => Count::Malformed,
            Self::Unmapped => Count::Unmapped,
            Self::Missing => Count::Missing,
            Self::TooLong => Count::TooLong,
        }
    }
}
