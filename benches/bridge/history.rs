//! What a long history costs: the request leg and the full round with so many requests in the store
//! already, and how soon the bridge is at work again with many open ones.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use xtask::measure::{Series, shown};

use crate::Result;
use crate::arguments::Arguments;
use crate::contender::Contender;
use crate::depth::watch;
use crate::figures::{count, series, size};
use crate::load::Load;
use crate::past::{self, Past};
use crate::program::Program;
use crate::report::{Outcome, chart};
use crate::request_leg::{BridgeTurn, bridge_turn};
use crate::round::{self, Turn};
use crate::site::{Site, queue, store};
use crate::wire::Wire;

/// How often it is measured at most: turns on large stores take long.
const ROUNDS_MAX: usize = 5;

/// Which part of a store may be what turns have left in it. Beyond that every turn has its own copy
/// of the store as it was made.
const LEFT_SHARE_MAX: f64 = 0.1;

/// A store of some size, and what was measured with it.
struct Age {
    requests: u64,
    room: PathBuf,
    /// The store as it was made, if turns would leave too much in it.
    made: Option<PathBuf>,
    made_s: f64,
    bytes: f64,
    legs: Vec<BridgeTurn>,
    rounds: Vec<Turn>,
}

/// Measures.
pub(crate) async fn run(site: &Site, arguments: &Arguments) -> Result<Outcome> {
    let wire = Wire::connect(&site.url()).await?;
    let mut ages = Vec::new();
    let rounds = arguments.pairs.min(ROUNDS_MAX);
    let left = 2 * rounds as u64 * arguments.requests;
    for requests in &arguments.history {
        ages.push(Age::make(site, *requests, left).await?);
    }
    let mut runs = 0..;
    for round in 1..=rounds {
        for age in &mut ages {
            let mut load =
                || Load::good_of_run(runs.next().unwrap_or_default(), arguments.requests);
            age.restore()?;
            let leg = bridge_turn(site, &wire, &load(), &age.room).await?;
            age.restore()?;
            let full = (Contender::Bridge, age.room.as_path());
            let full = round::turn(site, &wire, &load(), full).await?;
            println!(
                "history {round}/{rounds}: {} in the store: request leg {:.0}/s {:.0} us, full \
                 round {:.0}/s {:.0} us",
                age.requests, leg.filling.rate, leg.processor_us, full.rate, full.processor_us
            );
            age.legs.push(leg);
            age.rounds.push(full);
        }
    }
    let mut recovery = Series::new(
        format!("start until the first of {} open is sent", shown(count(arguments.open))),
        "s",
    );
    for _ in 0..rounds {
        recovery.values.push(recover(site, &wire, arguments.open).await?);
    }
    site.clear(&wire).await?;
    wire.close().await?;
    Ok(outcome(arguments, &ages, recovery))
}

impl Age {
    /// Makes a store; `left` is how many requests all turns will leave in it.
    async fn make(site: &Site, requests: u64, left: u64) -> Result<Self> {
        let room = site.room_named(&format!("history-{requests}"))?;
        let begun = Instant::now();
        past::make(&store(&room), requests, Past::Applied).await?;
        let (made_s, bytes) = (begun.elapsed().as_secs_f64(), size(&store(&room)));
        println!(
            "history: a store with {requests} requests, made in {made_s:.0} s: {bytes:.0} bytes"
        );
        let made = (count(left) > LEFT_SHARE_MAX * count(requests)).then(|| room.join("made.db"));
        if let Some(made) = &made {
            fs::rename(store(&room), made)?;
        }
        Ok(Self { requests, room, made, made_s, bytes, legs: Vec::new(), rounds: Vec::new() })
    }

    /// Puts the store back as it was made, where turns leave too much in it.
    fn restore(&self) -> Result<()> {
        if let Some(made) = &self.made {
            fs::copy(made, store(&self.room))?;
        }
        Ok(())
    }
}

/// Starts the bridge with so many requests that wait to be sent; seconds until the first is.
async fn recover(site: &Site, wire: &Wire, open: u64) -> Result<f64> {
    site.clear(wire).await?;
    let room = site.room()?;
    past::make(&store(&room), open, Past::Waiting).await?;
    let begun = Instant::now();
    let mut bridge = site.start_bridge(&room)?;
    watch(wire, queue::LOCATION, open.min(1), || bridge.check()).await?;
    let took = begun.elapsed().as_secs_f64();
    Program::stop(bridge).await?;
    Ok(took)
}

fn outcome(arguments: &Arguments, ages: &[Age], recovery: Series) -> Outcome {
    let (mut rates, mut costs, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for age in ages {
        let in_store = format!("{} in the store", shown(count(age.requests)));
        let name = |what: &str| format!("{what}, {in_store}");
        rates.push(series(&age.legs, name("request leg"), "/s", |turn| turn.filling.rate));
        rates.push(series(&age.rounds, name("full round"), "/s", |turn| turn.rate));
        costs.push(series(&age.legs, name("request leg"), "µs", |turn| turn.processor_us));
        costs.push(series(&age.rounds, name("full round"), "µs", |turn| turn.processor_us));
        let start = |turn: &BridgeTurn| turn.filling.until_first.as_secs_f64();
        others.push(series(&age.legs, name("start until the first is sent"), "s", start));
        let leg_memory = |turn: &BridgeTurn| turn.memory_mib;
        others.push(series(&age.legs, name("memory, request leg"), "MiB", leg_memory));
        others.push(series(&age.rounds, name("memory, full round"), "MiB", |it| it.memory_mib));
        if age.requests > 0 {
            let each = age.bytes / count(age.requests);
            others.push(Series::new(name("store, each request"), "bytes").with([each]));
            others.push(Series::new(name("time to make the store"), "s").with([age.made_s]));
        }
    }
    let charts = vec![
        chart("history-rate", "Rate with a past", &rates.iter().collect::<Vec<_>>()),
        chart(
            "history-processor",
            "Processor time of the bridge with a past",
            &costs.iter().collect::<Vec<_>>(),
        ),
    ];
    let all = rates.into_iter().chain(costs).chain(others).chain([recovery]).collect();
    Outcome {
        scenario: "history",
        about: format!(
            "{} requests a turn, on stores that hold some already, all applied",
            arguments.requests
        ),
        series: all,
        charts,
    }
}
