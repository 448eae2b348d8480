//! The translation alone: messages a second on one core, without queues and without a store. Beside
//! it the parser that it stands on, reading the same bytes and throwing every event away; and
//! mappings of other lengths, as sites may have them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_xml::Reader;
use quick_xml::events::Event;
use tempfile::TempDir;
use tieline::transform::{Catalog, ContentType};
use xtask::measure::{Chart, Series};

use crate::Result;
use crate::arguments::Arguments;
use crate::figures::{count, micros};
use crate::load::Load;
use crate::mappings;
use crate::report::{Outcome, chart};

/// How many messages take turns, so that no branch is learnt by heart.
const MESSAGES: u64 = 2_000;

/// How long one turn lasts at least.
const TURN: Duration = Duration::from_millis(700);

/// The lengths of the mappings that are made.
const RULES: [usize; 3] = [10, 50, 200];

/// Measures.
pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    let load = Load::good(MESSAGES);
    let messages: Vec<Arc<[u8]>> =
        load.requests().iter().map(|request| Arc::clone(&request.payload)).collect();
    let shipped = Catalog::built_in()?;
    let made =
        RULES.map(|rules| Ok((rules, made(rules)?))).into_iter().collect::<Result<Vec<_>>>()?;
    let mut parser = Series::new("parser alone", "µs/msg");
    let mut own = Series::new("shipped mapping", "µs/msg");
    let mut lengths: Vec<Series> =
        made.iter().map(|(rules, _)| Series::new(format!("{rules} rules"), "µs/msg")).collect();
    for round in 1..=arguments.pairs {
        own.values.push(turn(&messages, |message| translate(&shipped, message))?);
        parser.values.push(turn(&messages, parse)?);
        for ((_, catalog), series) in made.iter().zip(&mut lengths) {
            series.values.push(turn(&messages, |message| translate(catalog, message))?);
        }
        let last = |series: &Series| series.values.last().copied().unwrap_or_default();
        println!(
            "translation {round}/{}: {:.1} us, parser alone {:.1} us",
            arguments.pairs,
            last(&own),
            last(&parser)
        );
    }
    Ok(outcome(&load, parser, own, lengths))
}

/// Takes every message as often as the turn lasts; µs a message.
fn turn(messages: &[Arc<[u8]>], take: impl Fn(&[u8]) -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    let mut taken = 0;
    while begun.elapsed() < TURN {
        for message in messages {
            take(message)?;
        }
        taken += messages.len() as u64;
    }
    Ok(micros(begun.elapsed()) / count(taken))
}

pub(crate) fn translate(catalog: &Catalog, message: &[u8]) -> Result<()> {
    let translated = catalog.translate(black_box(message), &ContentType::default());
    let translation = translated.outcome.map_err(|failure| failure.detail)?;
    black_box(translation);
    Ok(())
}

pub(crate) fn parse(message: &[u8]) -> Result<()> {
    let mut reader = Reader::from_str(str::from_utf8(black_box(message))?);
    while black_box(reader.read_event()?) != Event::Eof {}
    Ok(())
}

/// The shipped mappings, that of service points with so many rules.
fn made(rules: usize) -> Result<Catalog> {
    let dir = TempDir::with_prefix("tieline-mappings-")?;
    mappings::copy_with_rules(dir.path(), rules)?;
    Ok(Catalog::load(dir.path())?)
}

fn outcome(load: &Load, parser: Series, own: Series, lengths: Vec<Series>) -> Outcome {
    let rate = |series: &Series, name: &str| {
        Series::new(name, "msg/s").with(series.values.iter().map(|micros| 1e6 / micros))
    };
    let mut series = vec![
        rate(&own, "rate, shipped mapping"),
        rate(&parser, "rate, parser alone"),
        own.over(&parser, "time, shipped mapping / parser alone"),
    ];
    let of_lengths = lengths
        .iter()
        .map(|made| made.over(&parser, format!("time, {} / parser alone", made.name)));
    series.extend(of_lengths);
    let mut shown = vec![&parser, &own];
    shown.extend(&lengths);
    let charts: Vec<Chart> = vec![chart("translation", "Translation on one core", &shown)];
    series.extend([parser, own]);
    series.extend(lengths);
    Outcome {
        scenario: "translation",
        about: format!(
            "{} different messages of {:.0} bytes on average, one core, no queues, no store",
            load.number(),
            load.bytes_mean()
        ),
        series,
        charts,
    }
}
