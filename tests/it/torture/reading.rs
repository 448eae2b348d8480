//! What the command line tells about the store, page by page.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

use super::evidence::{OpenError, Row};
use crate::support::Site;

/// The most records that a page of a list has.
const PAGE: usize = 10_000;

const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

/// What a command prints as JSON.
pub(super) fn read<T: DeserializeOwned>(site: &Site, args: &[&str]) -> T {
    let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&site.cli(&args).ended(0).out).unwrap()
}

/// All requests, oldest first: page after page, each from the time at which the last one ended.
pub(super) fn requests(site: &Site) -> Vec<Row> {
    let page = PAGE.to_string();
    let mut all: Vec<Row> = Vec::new();
    let mut known = HashSet::new();
    loop {
        let mut args = vec!["requests", "list", "--limit", &page];
        // A page ends before this time, and others may have come at the same.
        let until = all.last().map(|last| (time(&last.received_at) + MILLISECOND).to_string());
        args.extend(until.as_deref().map(|until| ["--until", until]).into_iter().flatten());
        let listed: Vec<Row> = read(site, &args);
        let (is_last, before) = (listed.len() < PAGE, all.len());
        all.extend(listed.into_iter().filter(|row| known.insert(row.id.clone())));
        if is_last {
            all.reverse();
            return all;
        }
        assert!(all.len() > before, "{args:?}: a page without anything new");
    }
}

/// All open error records. Their list is in the order of their ids, and what failed again has an old
/// id and a new time: so they are read in spans of time, each cut in two until a page has all of it.
pub(super) fn errors(site: &Site) -> Vec<OpenError> {
    let page = PAGE.to_string();
    let mut all = Vec::new();
    let mut spans = vec![(Timestamp::UNIX_EPOCH, Timestamp::MAX)];
    while let Some((since, until)) = spans.pop() {
        let (from, to) = (since.to_string(), until.to_string());
        let args = ["errors", "list", "--limit", &page, "--since", &from, "--until", &to];
        let listed: Vec<OpenError> = read(site, &args);
        if listed.len() < PAGE {
            all.extend(listed);
            continue;
        }
        let mut times: Vec<_> = listed.iter().map(|error| time(&error.last_at)).collect();
        times.sort_unstable();
        let middle = times[PAGE / 2];
        let next = middle + MILLISECOND;
        assert!(next <= until, "{args:?}: too many of one time");
        spans.extend([(since, middle), (next, until)]);
    }
    all
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}
