//! The request leg: requests that wait on the request queue become asset locations on the location
//! queue. Beside it two shovels move the same messages between the same queues and do no more.

use std::path::Path;

use xtask::measure::Series;

use crate::Result;
use crate::arguments::Arguments;
use crate::depth::{Filling, watch};
use crate::figures::{count, mebibytes, micros, series, size};
use crate::load::Load;
use crate::program::Program;
use crate::report::{Outcome, chart};
use crate::shovel::{self, Way};
use crate::site::{Site, queue, rests, store};
use crate::wire::Wire;

/// What one turn of the bridge showed; costs are those of one request.
pub(crate) struct BridgeTurn {
    pub(crate) filling: Filling,
    pub(crate) processor_us: f64,
    pub(crate) broker_us: f64,
    pub(crate) memory_mib: f64,
    pub(crate) store_bytes: f64,
    pub(crate) written_bytes: f64,
    pub(crate) wire_bytes: f64,
}

/// What one turn of a shovel showed.
struct ShovelTurn {
    rate: f64,
    broker_us: f64,
}

/// Measures.
pub(crate) async fn run(site: &Site, arguments: &Arguments) -> Result<Outcome> {
    let load = Load::good(arguments.requests);
    let wire = Wire::connect(&site.url()).await?;
    let (mut bridge, mut network, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=arguments.pairs {
        bridge.push(bridge_turn(site, &wire, &load, &site.room()?).await?);
        network.push(shovel_turn(site, &wire, &load, Way::Network).await?);
        direct.push(shovel_turn(site, &wire, &load, Way::Direct).await?);
        if let (Some(a), Some(b), Some(c)) = (bridge.last(), network.last(), direct.last()) {
            println!(
                "request-leg {round}/{}: bridge {:.0}/s {:.0} us, network shovel {:.0}/s, direct \
                 shovel {:.0}/s",
                arguments.pairs, a.filling.rate, a.processor_us, b.rate, c.rate
            );
        }
    }
    site.clear(&wire).await?;
    wire.close().await?;
    Ok(outcome(&load, &bridge, &network, &direct))
}

/// Lets the bridge take the requests, with the store in this room.
pub(crate) async fn bridge_turn(
    site: &Site,
    wire: &Wire,
    load: &Load,
    room: &Path,
) -> Result<BridgeTurn> {
    site.fill(wire, load).await?;
    let broker_before = site.broker_processor()?;
    let mut bridge = site.start_bridge(room)?;
    let filling = watch(wire, queue::LOCATION, load.number(), || bridge.check()).await?;
    rests(bridge.pid()).await?;
    site.broker_rests().await?;
    let usage = bridge.usage()?;
    let broker = site.broker_processor()?.saturating_sub(broker_before);
    let wire_bytes = site.wire_bytes()?;
    Program::stop(bridge).await?;
    let each = |total: f64| total / count(load.number());
    Ok(BridgeTurn {
        filling,
        processor_us: each(micros(usage.processor)),
        broker_us: each(micros(broker)),
        memory_mib: mebibytes(usage.memory_kib),
        store_bytes: each(size(&store(room))),
        written_bytes: each(count(usage.written_bytes)),
        wire_bytes: each(count(wire_bytes)),
    })
}

async fn shovel_turn(site: &Site, wire: &Wire, load: &Load, way: Way) -> Result<ShovelTurn> {
    site.fill(wire, load).await?;
    let broker_before = site.broker_processor()?;
    shovel::start(site.node(), way)?;
    let rate = watch(wire, queue::LOCATION, load.number(), || Ok(())).await?.rate;
    site.broker_rests().await?;
    let broker = site.broker_processor()?.saturating_sub(broker_before);
    shovel::stop(site.node())?;
    Ok(ShovelTurn { rate, broker_us: micros(broker) / count(load.number()) })
}

fn outcome(
    load: &Load,
    bridge: &[BridgeTurn],
    network: &[ShovelTurn],
    direct: &[ShovelTurn],
) -> Outcome {
    let rate = series(bridge, "bridge", "msg/s", |turn| turn.filling.rate);
    let by_network = series(network, "network shovel", "msg/s", |turn| turn.rate);
    let by_direct = series(direct, "direct shovel", "msg/s", |turn| turn.rate);
    let own = series(bridge, "processor, bridge", "µs/msg", |turn| turn.processor_us);
    let broker =
        series(bridge, "processor, broker beside the bridge", "µs/msg", |turn| turn.broker_us);
    let all = own.values.iter().zip(&broker.values).map(|(own, broker)| own + broker);
    let all = Series::new("processor, bridge and broker", "µs/msg").with(all);
    let costs = |turns: &[ShovelTurn], name| series(turns, name, "µs/msg", |it| it.broker_us);
    let network_cost = costs(network, "processor, broker with network shovel");
    let direct_cost = costs(direct, "processor, broker with direct shovel");
    let charts = vec![
        chart("request-leg-rate", "Request leg: rate", &[&rate, &by_network, &by_direct]),
        chart(
            "request-leg-processor",
            "Request leg: processor time, program and broker",
            &[&all, &network_cost, &direct_cost],
        ),
    ];
    let series = vec![
        rate.over(&by_network, "rate, bridge / network shovel"),
        rate.over(&by_direct, "rate, bridge / direct shovel"),
        own.over(&broker, "processor, bridge / broker"),
        all.over(&network_cost, "processor, bridge and broker / network shovel"),
        series(bridge, "memory of the bridge, peak", "MiB", |turn| turn.memory_mib),
        series(bridge, "store after the end", "bytes/msg", |turn| turn.store_bytes),
        series(bridge, "written to disk by the bridge", "bytes/msg", |turn| turn.written_bytes),
        series(bridge, "on the wire, both ways", "bytes/msg", |turn| turn.wire_bytes),
        rate,
        by_network,
        by_direct,
        own,
        broker,
        all,
        network_cost,
        direct_cost,
    ];
    Outcome {
        scenario: "request-leg",
        about: format!(
            "{} requests of {:.0} bytes on average wait on the request queue",
            load.number(),
            load.bytes_mean()
        ),
        series,
        charts,
    }
}
