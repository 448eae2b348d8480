//! How long a full round takes at a steady load: from the moment at which a request was due to be
//! sent until its reply is heard. Beside it the same through the pass-through program: the hops
//! alone, which is what no bridge can be faster than.
//!
//! The time counts from when a request was due, not from when it went out: a system that stalls
//! delays its senders too, and their waiting is a part of the delay ("coordinated omission").

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::interval;
use xtask::measure::{Series, quantile};

use crate::Result;
use crate::arguments::Arguments;
use crate::contender::Contender;
use crate::figures::{count, millis};
use crate::load::Load;
use crate::outside::Outside;
use crate::pass_through::Sizes;
use crate::program::Program;
use crate::relay::{self, Wants};
use crate::report::{Outcome, chart};
use crate::site::{Site, rests};
use crate::wire::{Pipeline, Wire};

/// How many requests a second are sent.
const RATES: [u32; 3] = [10, 200, 1000];

/// How long a load lasts before its requests count, so that nothing of the start does.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long after the last request was due the last reply may come.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Of how many values a percentile of 99.9 says something.
const VALUES_MIN: usize = 1_000;

/// How often a write to the disk is timed, and how large it is.
const SYNCS: usize = 300;
const SYNC_BYTES: usize = 4_096;

/// What one turn at one rate showed, in milliseconds.
struct Turn {
    median: f64,
    p99: f64,
    p999: Option<f64>,
    max: f64,
}

/// The turns of one program at one rate.
struct Row {
    rate: u32,
    contender: Contender,
    turns: Vec<Turn>,
}

/// Measures.
pub(crate) async fn run(site: &Site, arguments: &Arguments) -> Result<Outcome> {
    let wire = Wire::connect(&site.url()).await?;
    let mut sync = Series::new("write of 4 KiB until it is on the disk, p50", "ms");
    let contenders = [Contender::Bridge, Contender::PassThrough(Sizes::of(&Load::good(1))?)];
    let row = |rate| contenders.map(|contender| Row { rate, contender, turns: Vec::new() });
    let mut rows: Vec<Row> = RATES.into_iter().flat_map(row).collect();
    for round in 1..=arguments.pairs {
        for row in &mut rows {
            site.clear(&wire).await?;
            let turn = turn(site, row, arguments.seconds).await?;
            println!(
                "latency {round}/{}: {} at {}/s: p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms",
                arguments.pairs,
                row.contender.name(),
                row.rate,
                turn.median,
                turn.p99,
                turn.max
            );
            row.turns.push(turn);
        }
        sync.values.push(sync_median(&site.room()?)?);
    }
    site.clear(&wire).await?;
    wire.close().await?;
    Ok(outcome(arguments, sync, &rows))
}

async fn turn(site: &Site, row: &Row, seconds: u64) -> Result<Turn> {
    let lasts = WARM_UP + Duration::from_secs(seconds);
    let load = Arc::new(Load::good(lasts.as_secs() * u64::from(row.rate)));
    let room = site.room()?;
    let outside = Outside::connect(&site.url()).await?;
    let mut program = row.contender.start(site, &room)?;
    // It has nothing to do once it has connected and declared.
    rests(program.pid()).await?;
    let sender = Wire::connect(&site.url()).await?;
    let begin = Instant::now() + Duration::from_millis(50);
    let pace = Pace { begin, rate: row.rate };
    let sending = send(sender.pipeline(), Arc::clone(&load), pace);
    let latencies = replies(&outside, &load, pace, &mut program).await;
    let sent = sending.join().map_err(|_| "the sender panicked")?;
    let latencies = latencies.map_err(|error| format!("{error}; log:\n{}", program.log_tail()))?;
    sent?;
    program.stop().await?;
    sender.close().await?;
    outside.close().await?;
    Turn::of(&latencies)
}

/// When each request is due.
#[derive(Clone, Copy)]
struct Pace {
    begin: Instant,
    rate: u32,
}

impl Pace {
    fn due(&self, place: usize) -> Instant {
        self.begin + Duration::from_secs_f64(count(place as u64) / f64::from(self.rate))
    }
}

/// Sends every request when it is due, from a thread of its own, whose sleep is finer than a
/// timer of the runtime.
fn send(mut pipeline: Pipeline<()>, load: Arc<Load>, pace: Pace) -> thread::JoinHandle<Result<()>> {
    thread::spawn(move || {
        for (place, request) in load.requests().iter().enumerate() {
            thread::sleep(pace.due(place).saturating_duration_since(Instant::now()));
            pipeline.publish(request.letter(), ());
            while pipeline.confirmed_now()?.is_some() {}
        }
        Ok(())
    })
}

/// Plays both systems until every reply is there, and returns how long each round took that counts,
/// in milliseconds.
async fn replies(
    outside: &Outside,
    load: &Load,
    pace: Pace,
    program: &mut Program,
) -> Result<Vec<f64>> {
    let requests = load.requests().iter().enumerate();
    let places: HashMap<&str, usize> =
        requests.map(|(place, request)| (request.correlation.as_str(), place)).collect();
    let mut heard: Vec<Option<Instant>> = vec![None; places.len()];
    let mut missing = places.len();
    let playing = outside.play(
        || {},
        |reply| {
            let correlation = relay::text(reply.properties.correlation_id().as_ref());
            if let Some(place) = places.get(correlation)
                && heard[*place].is_none()
            {
                heard[*place] = Some(Instant::now());
                missing -= 1;
            }
            if missing > 0 { Wants::More } else { Wants::NoMore }
        },
    );
    let end = pace.due(places.len()) + WAIT_MAX;
    let watching = async {
        let mut looks = interval(Duration::from_millis(500));
        while Instant::now() < end {
            looks.tick().await;
            program.check()?;
        }
        Err(format!("not every reply was there after {WAIT_MAX:?}").into())
    };
    let ended: Result<()> = tokio::select! {
        ended = playing => ended,
        ended = watching => ended,
    };
    ended?;
    let counts_from = pace.begin + WARM_UP;
    let took = heard.iter().enumerate().filter_map(|(place, heard)| {
        let due = pace.due(place);
        (due >= counts_from).then_some(millis(heard.as_ref()?.saturating_duration_since(due)))
    });
    Ok(took.collect())
}

impl Turn {
    fn of(latencies: &[f64]) -> Result<Self> {
        let at = |share| quantile(latencies, share).ok_or("no request was measured");
        let says_something = latencies.len() >= VALUES_MIN;
        Ok(Self {
            median: at(0.5)?,
            p99: at(0.99)?,
            p999: says_something.then_some(at(0.999)?),
            max: at(1.0)?,
        })
    }
}

/// How long it takes until a small write is on the disk that the store is on, in milliseconds.
fn sync_median(room: &Path) -> Result<f64> {
    let mut file = File::create(room.join("sync"))?;
    let bytes = [b'x'; SYNC_BYTES];
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.push(millis(begun.elapsed()));
    }
    quantile(&took, 0.5).ok_or_else(|| "nothing was timed".into())
}

fn outcome(arguments: &Arguments, sync: Series, rows: &[Row]) -> Outcome {
    let mut all = Vec::new();
    let mut charts = Vec::new();
    for pair in rows.chunks(2) {
        let rate = pair.first().map(|row| row.rate).unwrap_or_default();
        let medians: Vec<Series> =
            pair.iter().map(|row| row.series("p50", |it| Some(it.median))).collect();
        if let [bridge, plain] = medians.as_slice() {
            let name = format!("p50 at {rate}/s, bridge / pass-through");
            all.push(bridge.over(plain, name));
        }
        let tails = pair.iter().map(|row| row.series("p99", |turn| Some(turn.p99)));
        let bars: Vec<Series> = medians.iter().cloned().chain(tails).collect();
        let (name, title) = (format!("latency-{rate}"), format!("Full round at {rate}/s"));
        charts.push(chart(&name, &title, &bars.iter().collect::<Vec<_>>()));
        all.extend(bars);
        all.extend(pair.iter().map(|row| row.series("p99.9", |turn| turn.p999)));
        all.extend(pair.iter().map(|row| row.series("max", |turn| Some(turn.max))));
    }
    all.retain(|series| !series.values.is_empty());
    all.push(sync);
    Outcome {
        scenario: "latency",
        about: format!(
            "a full round, from when a request was due until its reply is heard; {} s at each rate",
            arguments.seconds
        ),
        series: all,
        charts,
    }
}

impl Row {
    fn series(&self, what: &str, value: impl Fn(&Turn) -> Option<f64>) -> Series {
        let name = format!("{what} at {}/s, {}", self.rate, self.contender.name());
        Series::new(name, "ms").with(self.turns.iter().filter_map(value))
    }
}
