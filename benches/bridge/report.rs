//! What came out: tables for the terminal and for pages, figures as JSON, charts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use xtask::measure::{Bar, Chart, Series, table};

use crate::Result;

/// What a scenario showed.
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) scenario: &'static str,
    /// What was done, in a sentence.
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
    /// What it showed, as a section of a page.
    pub(crate) fn markdown(&self) -> String {
        format!("## {}\n\n{}\n\n{}\n", self.scenario, self.about, table(&self.series))
    }

    /// Writes the figures, the table and the charts to a directory.
    pub(crate) fn write(&self, dir: &Path, facts: &[(&'static str, String)]) -> Result<()> {
        fs::create_dir_all(dir)?;
        let series: Vec<Value> = self.series.iter().map(figures).collect();
        let facts: serde_json::Map<String, Value> =
            facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let figures = json!({
            "scenario": self.scenario,
            "about": self.about,
            "machine": facts,
            "series": series,
        });
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(dir.join(format!("{}.json", self.scenario)), text)?;
        fs::write(dir.join(format!("{}.md", self.scenario)), self.markdown())?;
        for chart in &self.charts {
            fs::write(dir.join(format!("{}.svg", chart.name)), chart.svg())?;
        }
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
