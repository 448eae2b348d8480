//! One number, measured in every round, and tables of such.

use super::numbers::{Spread, shown};

/// A number, measured in every round.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// What was measured, and of whom.
    pub name: String,
    /// In what.
    pub unit: String,
    /// One value for each round, in their order.
    pub values: Vec<f64>,
}

impl Series {
    /// An empty series.
    pub fn new(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { name: name.into(), unit: unit.into(), values: Vec::new() }
    }

    /// The same, with these values.
    #[must_use]
    pub fn with(mut self, values: impl IntoIterator<Item = f64>) -> Self {
        self.values.extend(values);
        self
    }

    /// How this stood to another in each round: ratios are made within a round, because the machine
    /// differs more between rounds than the programs do.
    #[must_use]
    pub fn over(&self, other: &Self, name: impl Into<String>) -> Self {
        let ratios = self.values.iter().zip(&other.values).map(|(own, other)| own / other);
        Self::new(name, "ratio").with(ratios)
    }

    /// The least, the middle and the most.
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(&self.values)
    }
}

/// A table in Markdown, a line for each series.
pub fn table(series: &[Series]) -> String {
    let mut rows = vec![["what", "unit", "median", "min", "max", "n"].map(str::to_owned).to_vec()];
    for Series { name, unit, values } in series {
        let numbers = Spread::of(values).map_or_else(
            || ["–"; 3].map(str::to_owned),
            |it| [it.median, it.min, it.max].map(shown),
        );
        let mut row = vec![name.clone(), unit.clone()];
        row.extend(numbers);
        row.push(values.len().to_string());
        rows.push(row);
    }
    let width =
        |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(2);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut lines: Vec<String> = rows.iter().map(|row| line(row, &widths)).collect();
    let rule = widths.iter().enumerate().map(|(at, width)| match at {
        0 | 1 => "-".repeat(*width),
        _ => format!("{}:", "-".repeat(width - 1)),
    });
    lines.insert(1, line(&rule.collect::<Vec<_>>(), &widths));
    lines.join("\n")
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).enumerate().map(|(at, (cell, width))| match at {
        0 | 1 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_made_within_each_round() {
        let one = Series::new("one", "/s").with([10.0, 30.0]);
        let other = Series::new("other", "/s").with([20.0, 10.0]);
        assert_eq!(one.over(&other, "one / other").values, [0.5, 3.0]);
    }

    #[test]
    fn a_table_is_aligned() {
        let series = [
            Series::new("rate", "msg/s").with([9_000.0, 11_000.0, 10_000.0]),
            Series::new("never measured", "s"),
        ];
        let expected = "\
| what           | unit  | median |   min |    max |  n |
| -------------- | ----- | -----: | ----: | -----: | -: |
| rate           | msg/s | 10 000 | 9 000 | 11 000 |  3 |
| never measured | s     |      – |     – |      – |  0 |";
        assert_eq!(table(&series), expected);
    }
}
