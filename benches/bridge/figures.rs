//! Counts, sizes and times as the numbers of figures.

use std::path::Path;
use std::time::Duration;

use xtask::measure::Series;

/// A count or a size.
#[expect(clippy::cast_precision_loss, reason = "counts and sizes far below 2^53")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// A time in microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A time in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// An amount of memory, given in KiB, in MiB.
pub(crate) fn mebibytes(kibibytes: u64) -> f64 {
    count(kibibytes) / 1024.0
}

/// The size of a file; nothing if it is not there.
pub(crate) fn size(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0.0, |metadata| count(metadata.len()))
}

/// One number of every turn.
pub(crate) fn series<T>(
    turns: &[T],
    name: impl Into<String>,
    unit: &str,
    value: impl Fn(&T) -> f64,
) -> Series {
    Series::new(name, unit).with(turns.iter().map(value))
}
