//! `tieline demo`: the bridge between stand-ins for both systems, with sample traffic, a live view
//! and a summary whose numbers must add up.
//!
//! The queues have names of their own (`demo.…`): a stand-in that took real messages from real
//! queues would be no demonstration.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::demo_summary::Sums;
use super::exit::{Exit, Failed};
use super::output;
use crate::amqp::Endpoint;
use crate::bridge::ports::Counts;
use crate::bridge::{Clock, Store};
use crate::config::{Secret, Settings};
use crate::domain::Digest;
use crate::runtime::shutdown::{Asked, Signals, Stop};
use crate::runtime::{Bridge, StartError, SystemClock, sides, telemetry};
use crate::standin::answers::AnswerMix;
use crate::standin::plan::Plan;
use crate::standin::{Broker, Count, Live, Tally, assets, billing};

/// What stands before the names of queues and exchanges.
const PREFIX: &str = "demo.";

/// How long the last requests may take after billing has heard of everything.
const SETTLE_MAX: Duration = Duration::from_mins(1);

#[derive(Args, Debug)]
pub(super) struct Demo {
    /// How many messages billing sends.
    #[arg(long, default_value_t = 1000)]
    requests: u64,
    /// End with the summary instead of staying up to be looked at.
    #[arg(long)]
    exit: bool,
    /// The broker, instead of that of the settings.
    #[arg(long, value_name = "URL")]
    amqp_url: Option<String>,
    /// What the sample traffic follows from: the same seed, the same messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many messages a second billing sends; as fast as the broker takes them without it.
    #[arg(long)]
    rate: Option<f64>,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What came of it.
pub(super) struct Summary {
    pub(super) billing: Tally,
    pub(super) assets: Tally,
    pub(super) counts: Counts,
    /// How many different contents billing sends.
    pub(super) contents: u64,
    pub(super) took: Duration,
}

/// Runs the command.
pub(super) async fn run(demo: Demo, mut settings: Settings) -> Result<Exit, Failed> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    if let Some(url) = &demo.amqp_url {
        settings.amqp.url = Secret::new(url.clone());
    }
    let folder = fresh_store(&mut settings)?;
    // Each demonstration begins with a store of its own, on queues that stay.
    settings.store.fence = false;
    if settings.telemetry.log == crate::config::Telemetry::default().log {
        "error".clone_into(&mut settings.telemetry.log);
    }
    telemetry::log(&settings.telemetry).map_err(StartError::Telemetry)?;
    let metrics = telemetry::metrics().map_err(StartError::Telemetry)?;
    let topology = sides::topology(&settings)?.prefixed(PREFIX);
    let sides = sides::Sides::of(&settings)?;
    let broker =
        |endpoint: &Endpoint| Broker { endpoint: endpoint.clone(), topology: topology.clone() };
    let (billing, assets) = (broker(&sides.billing), broker(&sides.assets));
    let bridge = Bridge::with_topology(&settings, topology.clone(), Some(metrics)).await?;
    let http = bridge.http_address();
    let store = Arc::clone(&bridge.workshop().store);
    if !demo.json {
        output::line(format_args!(
            "tieline between stand-ins for billing and asset management on {}",
            sides.billing.address()
        ));
        output::line(format_args!("queues {PREFIX}*, store {}\n", settings.store.url));
    }
    let stop = Stop::default();
    let outside = async {
        let summary = play(&demo, &billing, &assets, store.as_ref(), &stop).await;
        let exit = summary.map(|summary| report(&demo, &summary));
        if !demo.exit && exit.is_ok() && !stop.soft.is_cancelled() {
            invite(&settings, http);
            stop.soft.cancelled().await;
        }
        stop.soft.cancel();
        exit
    };
    let (ended, exit) = tokio::select! {
        both = async { tokio::join!(bridge.run(stop.clone()), outside) } => both,
        never = obey(&mut signals, &stop) => match never {},
    };
    if let Some(folder) = folder {
        drop(std::fs::remove_dir_all(folder));
    }
    ended.map_err(|error| Failed::new(Exit::Failed, error, "the lines above name the cause"))?;
    exit
}

/// Stops at the first signal.
async fn obey(signals: &mut Signals, stop: &Stop) -> Infallible {
    loop {
        if signals.next().await == Asked::Stop {
            stop.soft.cancel();
        }
    }
}

/// A store of its own, unless the settings name one.
fn fresh_store(settings: &mut Settings) -> Result<Option<PathBuf>, Failed> {
    if settings.store != crate::config::Store::default() {
        return Ok(None);
    }
    let folder = std::env::temp_dir().join(format!("tieline-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failed::usage(format!("make {}: {error}", folder.display())))?;
    settings.store.url = format!("sqlite:{}", folder.join("tieline.db").display());
    Ok(Some(folder))
}

/// Runs both stand-ins until billing has heard of everything and nothing is under way any more.
async fn play(
    demo: &Demo,
    billing_side: &Broker,
    assets_side: &Broker,
    store: &dyn Store,
    stop: &Stop,
) -> Result<Summary, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (sent, taken) = (Arc::new(Live::new()), Arc::new(Live::new()));
    let options = billing::Options {
        seed: demo.seed,
        number: demo.requests,
        rate: demo.rate,
        ..billing::Options::default()
    };
    let answers = assets::Options {
        seed: demo.seed,
        late: Duration::from_secs(1),
        // What is never answered, or not readably, stays under way for hours; a demo has an end.
        mix: AnswerMix { silent: 0.0, malformed: 0.0, ..AnswerMix::default() },
        ..assets::Options::default()
    };
    let over = stop.soft.child_token();
    let began = Instant::now();
    let sending = async {
        let tally = billing::run(
            options,
            billing_side,
            Arc::clone(&sent),
            Arc::clone(&clock),
            over.clone(),
        )
        .await;
        let counts = settle(store, stop).await;
        over.cancel();
        (tally, counts, began.elapsed())
    };
    let taking =
        assets::run(answers, assets_side, Arc::clone(&taken), Arc::clone(&clock), over.clone());
    let view = view(demo, store, (&sent, &taken), &over);
    let ((billing, counts, took), assets, ()) = tokio::join!(sending, taking, view);
    let failed = |error| Failed::new(Exit::Failed, error, "a stand-in could not do its part");
    Ok(Summary {
        billing: billing.map_err(failed)?,
        assets: assets.map_err(failed)?,
        counts: counts?,
        contents: contents(demo),
        took,
    })
}

/// How many different contents the plan has: what is no XML may well come twice.
fn contents(demo: &Demo) -> u64 {
    let plan = Plan::new(demo.seed, demo.requests, billing::Options::default().mix);
    plan.map(|planned| Digest::of(&planned.payload)).collect::<HashSet<_>>().len() as u64
}

/// Waits until nothing is under way any more, or for a bounded time.
async fn settle(store: &dyn Store, stop: &Stop) -> Result<Counts, Failed> {
    let deadline = Instant::now() + SETTLE_MAX;
    loop {
        let counts = store.counts().await?;
        let open = ["waiting", "pending", "published"].iter().map(|state| of(&counts, state));
        let waiting: u64 = counts.outbox.iter().map(|(_, count)| count).sum();
        if open.sum::<u64>() + waiting == 0 || Instant::now() >= deadline {
            return Ok(counts);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            () = stop.soft.cancelled() => return Ok(counts),
        }
    }
}

/// Shows how it goes, twice a second.
async fn view(
    demo: &Demo,
    store: &dyn Store,
    (sent, taken): (&Live, &Live),
    over: &CancellationToken,
) {
    let mut shown = String::new();
    while !over.is_cancelled() {
        tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        let Ok(counts) = store.counts().await else { continue };
        let line = format!(
            "  sent {:>6}   under way {:>5}   asset locations {:>6}   synchronised {:>6}   \
             refused {:>4}   superseded {:>4}   parked {:>4}   replies {:>6}",
            sent.count(Count::Sent),
            of(&counts, "waiting") + of(&counts, "pending") + of(&counts, "published"),
            taken.count(Count::Locations),
            of(&counts, "applied"),
            of(&counts, "rejected"),
            of(&counts, "superseded"),
            of(&counts, "parked"),
            sent.count(Count::Replies),
        );
        if !demo.json && line != shown {
            output::line(&line);
            shown = line;
        }
    }
}

/// How many requests are in a state.
pub(super) fn of(counts: &Counts, state: &str) -> u64 {
    counts.requests.iter().find(|(name, _)| *name == state).map_or(0, |(_, count)| *count)
}

/// Prints the summary. The exit code says whether the numbers add up and nothing was violated.
fn report(demo: &Demo, summary: &Summary) -> Exit {
    let sums = Sums::of(summary);
    let good = sums.add_up() && summary.billing.is_clean() && summary.assets.is_clean();
    if demo.json {
        output::json(&sums.json(summary, good));
    } else {
        sums.print(summary, good);
    }
    if good { Exit::Done } else { Exit::Failed }
}

fn invite(settings: &Settings, http: Option<SocketAddr>) {
    output::line(format_args!(
        "\nThe bridge stays up. Look at it from another terminal, then end it with Ctrl-C:\n\n  \
         export TIELINE__STORE__URL={}\n  tieline errors groups\n  tieline errors list\n  \
         tieline requests list\n  tieline requests trace SYNC-REQUEST\n  \
         {}",
        settings.store.url,
        http.map_or(String::new(), |address| format!("curl http://{address}/health/ready")),
    ));
}
