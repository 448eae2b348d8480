//! What is known after a run: the histories of both ends, and what the command line tells about
//! the store.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::reading;
use crate::support::Site;

/// Everything that the checker compares.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// Billing's history, in order.
    pub(super) billing: Vec<Billing>,
    /// Asset management's history, in order.
    pub(super) assets: Vec<Assets>,
    /// What both tallied for themselves.
    pub(super) tallies: [Tally; 2],
    /// The requests of the store, in the order of their arrival.
    pub(super) requests: Vec<Row>,
    /// The open error records of the store.
    pub(super) errors: Vec<OpenError>,
    pub(super) status: Status,
    pub(super) groups: Vec<Group>,
    pub(super) doubts: Doubts,
    /// The message ids of asset locations that a fault destroyed on the broker.
    pub(super) destroyed: HashSet<String>,
    /// The requests that were parked and that an operator retried with a mended mapping.
    pub(super) mended: HashSet<String>,
    /// The good requests that an outage parked and that went on after it.
    pub(super) released: HashSet<String>,
}

impl Evidence {
    /// Collects what is known once everything has stopped.
    pub(super) fn gather(site: &Site, tallies: [Tally; 2], doubts: Doubts) -> Self {
        Self {
            billing: history(&site.path("billing.jsonl")),
            assets: history(&site.path("assets.jsonl")),
            tallies,
            requests: reading::requests(site),
            errors: reading::errors(site),
            status: reading::read(site, &["store", "status"]),
            groups: reading::read(site, &["errors", "groups"]),
            doubts,
            ..Self::default()
        }
    }
}

/// How often the faults left in doubt what was under way, and how much that is at the most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doubts {
    /// How often the bridge lost its connections, or its life.
    pub(super) bridge: u64,
    /// How often billing lost its connections.
    pub(super) billing: u64,
    /// How often asset management lost its connections.
    pub(super) assets: u64,
    /// How many messages of a lane the bridge publishes before their confirms are recorded.
    pub(super) window: u64,
    /// How many messages the broker gives either system before they are settled.
    pub(super) prefetch: u64,
}

/// A line of billing's history.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Billing {
    Sending(Sending),
    Sent { place: u64 },
    Unknown {},
    Reply(Reply),
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sending {
    pub(super) place: u64,
    pub(super) sync_request: String,
    pub(super) service_point: String,
    pub(super) revision: u32,
    pub(super) digest: String,
    /// The code under which it must be parked, if it must.
    pub(super) code: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reply {
    pub(super) message: String,
    pub(super) correlation: String,
    pub(super) sync_request: String,
    pub(super) outcome: String,
    pub(super) sign: String,
    pub(super) digest: String,
}

/// A line of asset management's history.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Assets {
    Location(Location),
    Answered { says: String },
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Location {
    pub(super) message: String,
    pub(super) sync_request: String,
    pub(super) service_point: String,
    pub(super) revision: u32,
    pub(super) digest: String,
    /// What the first of a message id is answered.
    pub(super) answer: Option<String>,
}

/// A request as `tieline requests list` tells of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) sync_request: Option<String>,
    pub(super) service_point: Option<String>,
    pub(super) state: String,
    pub(super) superseded_by: Option<String>,
    /// The sign of what billing was told last.
    pub(super) told: Option<String>,
    pub(super) resends: u64,
    pub(super) received_at: String,
}

/// An error record as `tieline errors list` tells of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OpenError {
    pub(super) code: String,
    pub(super) group: String,
    pub(super) about: String,
    pub(super) request: Option<String>,
    pub(super) last_at: String,
}

/// What `tieline store status` tells.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub(super) struct Status {
    pub(super) requests: BTreeMap<String, u64>,
    pub(super) outbox: BTreeMap<String, u64>,
}

impl Status {
    /// How many requests the store has.
    pub(super) fn recorded(&self) -> u64 {
        self.requests.values().sum()
    }

    /// How many of them an answer has settled.
    pub(super) fn settled(&self) -> u64 {
        ["applied", "rejected"].iter().filter_map(|state| self.requests.get(*state)).sum()
    }
}

/// What `tieline errors groups` tells.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Group {
    pub(super) group: String,
    pub(super) count: u64,
}

/// What `tieline simulate` tells at its end.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Tally {
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) violations: Vec<serde_json::Value>,
}

impl Tally {
    pub(super) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

/// Reads a history: one JSON object a line.
fn history<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let lines = BufReader::new(File::open(path).unwrap()).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}
