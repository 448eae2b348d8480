//! The channel adapter: the only place that names lapin.
