//! A picture of a few spreads beside each other, as an SVG file.
//!
//! Colours follow the reader's: text and lines take `currentColor` where the picture stands in a
//! page, and a grey that is readable on light and dark where it is an image.

use std::fmt::Write as _;

use super::numbers::{Spread, shown};

const WIDTH: u32 = 820;
const LABEL_WIDTH: u32 = 310;
const PLOT_WIDTH: u32 = 400;
const ROW_HEIGHT: u32 = 34;
const HEAD_HEIGHT: u32 = 44;
const FOOT_HEIGHT: u32 = 34;
const COLOURS: [&str; 4] = ["#3b7dd8", "#d98a2b", "#4a9d5b", "#9a6fc0"];

/// A picture.
#[derive(Clone, PartialEq, Debug)]
pub struct Chart {
    /// The file's name, without its ending.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// In what.
    pub unit: String,
    /// What is compared.
    pub bars: Vec<Bar>,
}

/// A bar: as long as the median, with a line from the least to the most.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// Whose numbers these are.
    pub label: String,
    /// The numbers.
    pub spread: Spread,
}

impl Chart {
    /// Draws it.
    pub fn svg(&self) -> String {
        let rows = u32::try_from(self.bars.len()).unwrap_or_default();
        let height = HEAD_HEIGHT + rows * ROW_HEIGHT + FOOT_HEIGHT;
        let most = self.bars.iter().map(|bar| bar.spread.max).fold(0.0, f64::max);
        let (step, top) = scale(most);
        let mut out = String::new();
        let mut put = |line: String| writeln!(out, "{line}").unwrap_or_default();
        put(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" \
             fill=\"#808890\" role=\"img\">"
        ));
        put(format!("<title>{}</title>", escaped(&self.title)));
        put(text((10, 24), "start", &format!("{} ({})", self.title, self.unit)));
        let place = |value: f64| f64::from(LABEL_WIDTH) + value / top * f64::from(PLOT_WIDTH);
        let mut mark = 0.0;
        while mark <= top + step / 2.0 {
            let x = place(mark);
            let bottom = height - FOOT_HEIGHT + 4;
            put(format!(
                "<path d=\"M{x:.1} {HEAD_HEIGHT}V{bottom}\" stroke=\"#808890\" \
                 stroke-opacity=\"0.3\"/>"
            ));
            put(format!(
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 16,
                shown(mark)
            ));
            mark += step;
        }
        for (row, bar) in (0..).zip(&self.bars) {
            put(self::row(row, bar, &place));
        }
        put("</svg>".to_owned());
        out
    }
}

fn row(row: u32, bar: &Bar, place: &impl Fn(f64) -> f64) -> String {
    let y = HEAD_HEIGHT + row * ROW_HEIGHT;
    let Spread { min, median, max } = bar.spread;
    let (zero, least, middle, most) = (place(0.0), place(min), place(median), place(max));
    let colour = COLOURS[row as usize % COLOURS.len()];
    let (top, line) = (y + 7, y + 17);
    let label = text((LABEL_WIDTH - 8, y + 22), "end", &bar.label);
    let number = text((WIDTH - 8, y + 22), "end", &shown(median));
    format!(
        "{label}\n<rect x=\"{zero:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"20\" \
         fill=\"{colour}\" fill-opacity=\"0.75\"/>\n\
         <path d=\"M{least:.1} {line}H{most:.1}M{least:.1} {}v10M{most:.1} {}v10\" \
         stroke=\"#404850\" stroke-width=\"1.5\"/>\n{number}",
        (middle - zero).max(0.5),
        line - 5,
        line - 5
    )
}

fn text((x, y): (u32, u32), anchor: &str, words: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escaped(words))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The step and the end of an axis that holds a value, in about four steps of 1, 2 or 5.
fn scale(most: f64) -> (f64, f64) {
    if !(most.is_finite() && most > 0.0) {
        return (1.0, 1.0);
    }
    let rough = most / 4.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    let step = step.into_iter().find(|step| *step >= rough).unwrap_or(decade * 10.0);
    (step, step * (most / step).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_numbers_and_holds_the_most() {
        assert_eq!(scale(17_300.0), (5_000.0, 20_000.0));
        assert_eq!(scale(100.0), (50.0, 100.0));
        assert_eq!(scale(8.0), (2.0, 8.0));
        assert_eq!(scale(0.0), (1.0, 1.0));
    }

    #[test]
    fn a_picture_names_what_it_shows() {
        let spread = Spread { min: 1.0, median: 2.0, max: 3.0 };
        let bars = vec![Bar { label: "this & that".to_owned(), spread }];
        let (name, title) = ("x".to_owned(), "a < b".to_owned());
        let svg = Chart { name, title, unit: "ms".to_owned(), bars }.svg();
        assert!(svg.contains("this &amp; that") && svg.contains("a &lt; b (ms)"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 3 + 4, "{svg}");
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
