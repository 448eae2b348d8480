//! Crash points: the bridge is killed, delayed and made to fail at named steps of its own code
//! (`src/points.rs`), in a small site each, and the rig's checker judges what came of it.
//!
//! Read [`table`] (the points), then [`run`] (what happens at a site) and [`poison`] (what lapin cannot
//! read), then [`sets`] (which orders are given), then [`planted`] (whether bugs of the bridge are found).
//! Everything but the table's own test is left out of a build without the feature `points`.

mod planted;
mod poison;
mod run;
mod sets;
mod table;
