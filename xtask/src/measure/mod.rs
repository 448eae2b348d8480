//! What a benchmark measures with: the cost of a process, numbers over rounds, tables, pictures.
//!
//! Pure but for [`Usage`], which reads what the kernel tells about a process. This module must not
//! know what is measured: no scenario is named here.

mod chart;
mod numbers;
mod page;
mod series;
mod usage;

pub use chart::{Bar, Chart};
pub use numbers::{Spread, quantile, shown};
pub use page::fill;
pub use series::{Series, table};
pub use usage::Usage;
