//! What came out: tables for the terminal and for a page, figures as JSON, charts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use xtask::measure::{self, Bar, Chart, Series, table};

use crate::Result;
use crate::machine::Machine;

/// What a scenario showed.
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) scenario: &'static str,
    /// What was done, in a sentence without its full stop.
    pub(crate) about: String,
    pub(crate) series: Vec<Series>,
    pub(crate) charts: Vec<Chart>,
}

/// A chart of series that have the same unit, each with its spread over the rounds.
pub(crate) fn chart(name: &str, title: &str, series: &[&Series]) -> Chart {
    let bar = |series: &&Series| Some(Bar { label: series.name.clone(), spread: series.spread()? });
    Chart {
        name: name.to_owned(),
        title: title.to_owned(),
        unit: series.first().map(|series| series.unit.clone()).unwrap_or_default(),
        bars: series.iter().filter_map(bar).collect(),
    }
}

impl Outcome {
    /// What it showed, for a terminal or a page.
    pub(crate) fn markdown(&self) -> String {
        format!("{}.\n\n{}", self.about, table(&self.series))
    }

    /// Writes the figures and the charts to a directory.
    pub(crate) fn write(&self, dir: &Path, machine: &Machine) -> Result<()> {
        fs::create_dir_all(dir)?;
        let series: Vec<Value> = self.series.iter().map(figures).collect();
        let figures = json!({
            "scenario": self.scenario,
            "about": self.about,
            "machine": machine.json(),
            "series": series,
        });
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(dir.join(format!("{}.json", self.scenario)), text)?;
        for chart in &self.charts {
            fs::write(dir.join(format!("{}.svg", chart.name)), chart.svg())?;
        }
        Ok(())
    }

    /// Puts the table into a page, with what it was taken on.
    pub(crate) fn fill(&self, page: &Path, machine: &Machine) -> Result<()> {
        let text = fs::read_to_string(page)?;
        let section = format!("{}\n\nTaken on {machine}.", self.markdown());
        let filled = measure::fill(&text, self.scenario, &section);
        let lacking = || format!("{}: found no marks of {}", page.display(), self.scenario);
        fs::write(page, filled.ok_or_else(lacking)?)?;
        Ok(())
    }
}

fn figures(series: &Series) -> Value {
    let spread =
        series.spread().map(|it| json!({"min": it.min, "median": it.median, "max": it.max}));
    json!({
        "name": series.name,
        "unit": series.unit,
        "values": series.values,
        "spread": spread,
    })
}
