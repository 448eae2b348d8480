//! What is measured, how often, and where the figures go.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The benchmark of tieline: what it does beside what the same broker does without it.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Arguments {
    /// What to measure; everything without one.
    #[arg(value_enum)]
    pub(crate) scenarios: Vec<Scenario>,
    /// How many rounds; in each, everything that is compared has its turn.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) pairs: usize,
    /// How many requests each turn has.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) requests: u64,
    /// How long each load of the latency lasts, in seconds.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) seconds: u64,
    /// How many requests are parked.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) parked: u64,
    /// How many requests the stores with a past hold. The binary must have the store's schema of
    /// this source.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [0, 100_000])]
    pub(crate) history: Vec<u64>,
    /// How many requests wait to be sent when the bridge is started with them.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) open: u64,
    /// A page, such as docs/performance.md, whose tables are put in place.
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// A directory for the figures (JSON) and the charts (SVG).
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The binary under measurement.
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_tieline"))]
    pub(crate) binary: PathBuf,
    /// A setting of the bridge, for example amqp.prefetch=1000; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Given by `cargo bench`: without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// From the request queue to the location queue, beside shovels.
    RequestLeg,
    /// Request, location, answer, reply, beside a program that passes messages through.
    Round,
    /// How long a full round takes at a steady load, beside the hops alone.
    Latency,
    /// Many requests parked, looked at, mended and sent again.
    Parking,
    /// Stores that hold many requests already, and many open ones at the start.
    History,
    /// The translation alone, beside the parser it stands on.
    Translation,
    /// Instructions of the bridge's own code, as valgrind counts them. Only if it is named.
    Instructions,
}

impl Arguments {
    /// What to measure, in the order it is told.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if self.scenarios.is_empty() {
            let all = Scenario::value_variants().iter().copied();
            all.filter(|scenario| *scenario != Scenario::Instructions).collect()
        } else {
            self.scenarios.clone()
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE".to_owned()),
    }
}
