//! The benchmark: what the bridge does, beside what the same broker does without it.
//!
//! `cargo xtask bench` builds everything and runs it; `docs/performance.md` says what is measured
//! and how. Whatever is compared takes turns within a round, and a ratio is made within its round:
//! the machine differs more between rounds than the programs do.
//!
//! Read [`site`] (where), [`load`] (what goes in), [`wire`] (how the yardsticks talk to the
//! broker), then a scenario: [`request_leg`], [`round`],
//! [`latency`], [`parking`], [`history`], [`translation`].

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod arguments;
mod contender;
mod depth;
mod figures;
mod history;
mod instructions;
mod latency;
mod load;
mod machine;
mod mappings;
mod outside;
mod parking;
mod pass_through;
mod past;
mod program;
mod relay;
mod report;
mod request_leg;
mod round;
mod shovel;
mod site;
mod translation;
mod wire;

use clap::Parser as _;
use tokio::runtime::Builder;

use crate::arguments::{Arguments, Scenario};
use crate::machine::Machine;
use crate::site::Site;

/// A result whose error is a text for the person at the terminal.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What `cargo bench` gives and `cargo test --all-targets` does not: tests measure nothing.
const BENCH: &str = "--bench";

fn main() -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((word, rest)) if word == pass_through::NAME => {
            runtime.block_on(pass_through::run(rest))
        }
        Some((word, rest)) if word == instructions::NAME => {
            runtime.block_on(instructions::work(rest))
        }
        _ if words.iter().any(|word| word == BENCH) => {
            runtime.block_on(measure(&Arguments::parse()))
        }
        _ => {
            println!("nothing is measured without {BENCH}; `cargo xtask bench` gives it");
            Ok(())
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let site = Site::open(arguments).await?;
    let machine = Machine::of(&site);
    println!("{machine}");
    for scenario in arguments.scenarios() {
        let outcome = match scenario {
            Scenario::RequestLeg => request_leg::run(&site, arguments).await?,
            Scenario::Round => round::run(&site, arguments).await?,
            Scenario::Latency => latency::run(&site, arguments).await?,
            Scenario::Parking => parking::run(&site, arguments).await?,
            Scenario::History => history::run(&site, arguments).await?,
            Scenario::Translation => translation::run(arguments)?,
            Scenario::Instructions => instructions::run()?,
        };
        println!("\n## {}\n\n{}\n", outcome.scenario, outcome.markdown());
        if let Some(dir) = &arguments.out {
            outcome.write(dir, &machine)?;
        }
        if let Some(page) = &arguments.page {
            outcome.fill(page, &machine)?;
        }
    }
    Ok(())
}
