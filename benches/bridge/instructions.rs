//! How many instructions a message takes in the bridge's own code, as valgrind counts them: the same
//! number in every run of the same build, however busy the machine is.
//!
//! The benchmark starts itself under callgrind, twice with different numbers of messages, and takes
//! the difference: what it does once is not in it.

use std::process::Command;

use tempfile::TempDir;
use tieline::transform::Catalog;
use xtask::measure::Series;

use crate::Result;
use crate::figures::count;
use crate::load::Load;
use crate::past::{self, Past};
use crate::report::Outcome;
use crate::translation::{parse, translate};

/// The word by which the benchmark knows that it is being counted.
pub(crate) const NAME: &str = "counted";

/// How many messages the shorter run has, and the longer one. Whole transactions.
const MESSAGES: [u64; 2] = [1_000, 3_000];

/// What is counted, and its name in the table.
const WORKS: [(&str, &str); 4] = [
    ("parse", "parser alone"),
    ("translate", "translation"),
    ("leg", "request leg: translated, recorded, leased, confirmed"),
    ("round", "full round: the same, and the answer and its reply"),
];

/// Measures.
pub(crate) fn run() -> Result<Outcome> {
    let mut series = Vec::new();
    for (work, name) in WORKS {
        let [short, long] = MESSAGES.map(|number| instructions(work, number));
        let more = count(MESSAGES[1] - MESSAGES[0]);
        let each = count(long?.saturating_sub(short?)) / more;
        println!("instructions: {name}: {each:.0}");
        series.push(Series::new(name, "instructions/msg").with([each]));
    }
    Ok(Outcome {
        scenario: "instructions",
        about: format!(
            "each {} messages of {:.0} bytes on average, without queues, in transactions of {}",
            MESSAGES[1] - MESSAGES[0],
            Load::good(MESSAGES[0]).bytes_mean(),
            past::BATCH
        ),
        series,
        charts: Vec::new(),
    })
}

/// How many instructions a run takes.
fn instructions(work: &str, number: u64) -> Result<u64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([NAME, work, &number.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}; Debian has it in the package `valgrind`"))?;
    let told = String::from_utf8_lossy(&out.stderr);
    let collected = told.lines().find_map(|line| line.split("Collected : ").nth(1));
    let collected = collected.and_then(|text| text.trim().parse().ok());
    collected.ok_or_else(|| format!("valgrind did not count: {}\n{told}", out.status).into())
}

/// Does the work that is counted.
pub(crate) async fn work(words: &[String]) -> Result<()> {
    let [work, number] = words else { return Err("expected a work and a number".into()) };
    let number = number.parse()?;
    match work.as_str() {
        "parse" => each(number, parse),
        "translate" => {
            let catalog = Catalog::built_in()?;
            each(number, |message| translate(&catalog, message))
        }
        "leg" => store(number, Past::Published).await,
        "round" => store(number, Past::Applied).await,
        other => Err(format!("unknown work '{other}'").into()),
    }
}

fn each(number: u64, take: impl Fn(&[u8]) -> Result<()>) -> Result<()> {
    let load = Load::good(MESSAGES[1]);
    let messages = load.requests().iter().map(|request| &*request.payload);
    messages.take(usize::try_from(number)?).try_for_each(take)
}

async fn store(number: u64, past: Past) -> Result<()> {
    let dir = TempDir::with_prefix("tieline-counted-")?;
    past::make(&dir.path().join("store.db"), number, past).await
}
