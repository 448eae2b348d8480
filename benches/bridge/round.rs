//! The full round: request, location, answer, reply. Both systems outside are as fast as they can
//! be and run in this process. In the bridge's place, in turn, a program that does the same eight
//! queue operations and nothing else.
//!
//! The rate is taken from the first location to the last reply, so that no start is in it.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::interval;
use xtask::measure::{Series, Usage};

use crate::Result;
use crate::arguments::Arguments;
use crate::contender::Contender;
use crate::figures::{count, mebibytes, micros, series, size};
use crate::load::Load;
use crate::outside::Outside;
use crate::pass_through::Sizes;
use crate::program::Program;
use crate::relay::Wants;
use crate::report::{Outcome, chart};
use crate::site::{Site, rests, store};
use crate::wire::Wire;

/// How long a round may take, so that a run ends however slow it is.
const WAIT_PER_ROUND_MAX: Duration = Duration::from_millis(20);

/// How long a run may take besides.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// What one turn showed; costs are those of one round.
pub(crate) struct Turn {
    pub(crate) rate: f64,
    pub(crate) processor_us: f64,
    pub(crate) broker_us: f64,
    pub(crate) outside_us: f64,
    pub(crate) memory_mib: f64,
    pub(crate) store_bytes: f64,
    pub(crate) written_bytes: f64,
}

/// Measures.
pub(crate) async fn run(site: &Site, arguments: &Arguments) -> Result<Outcome> {
    let load = Load::good(arguments.requests);
    let sizes = Sizes::of(&load)?;
    let plainly = Contender::PassThrough(sizes);
    let wire = Wire::connect(&site.url()).await?;
    let (mut bridge, mut plain) = (Vec::new(), Vec::new());
    for round in 1..=arguments.pairs {
        let own = turn(site, &wire, &load, (Contender::Bridge, &site.room()?)).await?;
        let other = turn(site, &wire, &load, (plainly, &site.room()?)).await?;
        println!(
            "round {round}/{}: bridge {:.0}/s {:.0} us, pass-through {:.0}/s {:.0} us",
            arguments.pairs, own.rate, own.processor_us, other.rate, other.processor_us
        );
        bridge.push(own);
        plain.push(other);
    }
    site.clear(&wire).await?;
    wire.close().await?;
    Ok(outcome(&load, sizes, &bridge, &plain))
}

/// Lets a contender do full rounds, in this room.
pub(crate) async fn turn(
    site: &Site,
    wire: &Wire,
    load: &Load,
    (contender, room): (Contender, &Path),
) -> Result<Turn> {
    site.fill(wire, load).await?;
    let outside = Outside::connect(&site.url()).await?;
    let broker_before = site.broker_processor()?;
    let own_before = Usage::of(std::process::id())?.processor;
    let mut program = contender.start(site, room)?;
    let took = rounds(&outside, load.number(), &mut program).await?;
    let outside_used = Usage::of(std::process::id())?.processor.saturating_sub(own_before);
    rests(program.pid()).await?;
    site.broker_rests().await?;
    let usage = program.usage()?;
    let broker = site.broker_processor()?.saturating_sub(broker_before);
    program.stop().await?;
    outside.close().await?;
    let each = |total: f64| total / count(load.number());
    Ok(Turn {
        rate: count(load.number()) / took.as_secs_f64(),
        processor_us: each(micros(usage.processor)),
        broker_us: each(micros(broker)),
        outside_us: each(micros(outside_used)),
        memory_mib: mebibytes(usage.memory_kib),
        store_bytes: each(size(&store(room))),
        written_bytes: each(count(usage.written_bytes)),
    })
}

/// Plays both systems until every reply is there; how long that took from the first location on.
async fn rounds(outside: &Outside, number: u64, program: &mut Program) -> Result<Duration> {
    let begun = Instant::now();
    let wait_max = WAIT_MAX + WAIT_PER_ROUND_MAX.mul_f64(count(number));
    let (mut first, mut last, mut told) = (None, begun, 0);
    let playing = outside.play(
        || {
            first.get_or_insert_with(Instant::now);
        },
        |_| {
            told += 1;
            last = Instant::now();
            if told < number { Wants::More } else { Wants::NoMore }
        },
    );
    let watching = async {
        let mut looks = interval(Duration::from_millis(200));
        while begun.elapsed() < wait_max {
            looks.tick().await;
            program.check()?;
        }
        Err(format!("not every reply was there after {wait_max:?}").into())
    };
    let ended: Result<()> = tokio::select! {
        ended = playing => ended,
        ended = watching => ended,
    };
    ended.map_err(|error| format!("{error}; log:\n{}", program.log_tail()))?;
    Ok(last - first.unwrap_or(begun))
}

fn outcome(load: &Load, sizes: Sizes, bridge: &[Turn], plain: &[Turn]) -> Outcome {
    let rate = series(bridge, "bridge", "rounds/s", |turn| turn.rate);
    let plain_rate = series(plain, "pass-through", "rounds/s", |turn| turn.rate);
    let own = series(bridge, "processor, bridge", "µs/round", |turn| turn.processor_us);
    let plain_own = series(plain, "processor, pass-through", "µs/round", |it| it.processor_us);
    let broker =
        series(bridge, "processor, broker beside the bridge", "µs/round", |it| it.broker_us);
    let plain_broker =
        series(plain, "processor, broker beside pass-through", "µs/round", |it| it.broker_us);
    let charts = vec![
        chart("round-rate", "Full round: rate", &[&rate, &plain_rate]),
        chart(
            "round-processor",
            "Full round: processor time",
            &[&own, &broker, &plain_own, &plain_broker],
        ),
    ];
    let outside = |turns: &[Turn], name: &str| -> Series {
        series(turns, name, "µs/round", |it| it.outside_us)
    };
    let series = vec![
        rate.over(&plain_rate, "rate, bridge / pass-through"),
        own.over(&broker, "processor, bridge / broker"),
        own.over(&plain_own, "processor, bridge / pass-through"),
        series(bridge, "memory of the bridge, peak", "MiB", |turn| turn.memory_mib),
        series(plain, "memory of pass-through, peak", "MiB", |turn| turn.memory_mib),
        series(bridge, "store after the end", "bytes/round", |turn| turn.store_bytes),
        series(bridge, "written to disk by the bridge", "bytes/round", |it| it.written_bytes),
        rate,
        plain_rate,
        own,
        broker,
        plain_own,
        plain_broker,
        outside(bridge, "processor, stand-ins beside the bridge"),
        outside(plain, "processor, stand-ins beside pass-through"),
    ];
    Outcome {
        scenario: "round",
        about: format!(
            "{} requests of {:.0} bytes on average wait on the request queue; pass-through \
             forwards {sizes}",
            load.number(),
            load.bytes_mean()
        ),
        series,
        charts,
    }
}
