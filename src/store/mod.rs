//! The message store: the only place that names rusqlite.
