//! What the command line tells about the store, page by page.

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use super::evidence::{OpenError, Row};
use crate::support::Site;

/// The most records that a page of a list has.
const PAGE: usize = 10_000;

/// A record of a list that is read page by page.
trait Listed: DeserializeOwned {
    /// What tells it from every other.
    fn id(&self) -> &str;
    /// The time by which it can be asked for.
    fn at(&self) -> &str;
}

impl Listed for Row {
    fn id(&self) -> &str {
        &self.id
    }

    fn at(&self) -> &str {
        &self.received_at
    }
}

impl Listed for OpenError {
    fn id(&self) -> &str {
        &self.id
    }

    fn at(&self) -> &str {
        &self.last_at
    }
}

/// All requests, oldest first.
pub(super) fn requests(site: &Site) -> Vec<Row> {
    all(site, "requests")
}

/// All open error records, oldest first.
pub(super) fn errors(site: &Site) -> Vec<OpenError> {
    all(site, "errors")
}

/// What a command prints as JSON.
pub(super) fn read<T: DeserializeOwned>(site: &Site, args: &[&str]) -> T {
    let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&site.cli(&args).ended(0).out).unwrap()
}

/// Page after page, each from the time at which the last one ended.
fn all<T: Listed>(site: &Site, what: &str) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    let mut known = HashSet::new();
    loop {
        let page = PAGE.to_string();
        let mut args = vec![what, "list", "--limit", &page];
        let until = all.last().map(|last| {
            // A page ends before this time, and others may have come at the same.
            let at: jiff::Timestamp = last.at().parse().unwrap();
            at.saturating_add(jiff::SignedDuration::from_millis(1)).unwrap().to_string()
        });
        args.extend(until.as_deref().map(|until| ["--until", until]).into_iter().flatten());
        let listed: Vec<T> = read(site, &args);
        let (is_last, before) = (listed.len() < PAGE, all.len());
        all.extend(listed.into_iter().filter(|record| known.insert(record.id().to_owned())));
        if is_last {
            all.reverse();
            return all;
        }
        assert!(all.len() > before, "{args:?}: a page without anything new");
    }
}
