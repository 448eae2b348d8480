//! When a run is over: nothing is under way anywhere.

use std::time::Instant;

use super::run::Run;
use crate::support::{Site, fail, queue, until_within};

impl Run {
    /// Waits until nothing is under way anywhere.
    pub(super) fn settle(&mut self) {
        let (start, patience) = (Instant::now(), self.plan.patience());
        while let Err(why) = self.is_settled() {
            if start.elapsed() > patience {
                fail(&format!("expected nothing to be under way after {patience:?}: {why}"));
            }
        }
    }

    /// Whether nothing is under way anywhere, or what is. It takes both histories for the
    /// beginning and the end of the look: nothing happened in between.
    fn is_settled(&mut self) -> Result<(), String> {
        let seen = self.progress.look();
        if seen.sent < u64::from(self.plan.requests) || seen.answered < seen.owed {
            until_within(self.plan.patience(), "the systems to go on", || {
                let now = self.progress.look();
                (now != seen).then_some(())
            });
            return Err(format!("{seen:?}"));
        }
        is_at_rest(&self.site)?;
        self.unsettled_deliveries()?;
        let now = self.progress.look();
        if now == seen { Ok(()) } else { Err(format!("{seen:?}, then {now:?}")) }
    }

    /// The depth of a queue leaves out what a consumer has and did not settle.
    fn unsettled_deliveries(&self) -> Result<(), String> {
        let items = ["name", "prefetch_count", "messages_unacknowledged"];
        let listed = ["list_channels", "--quiet", "--no-table-headers"];
        let listed: Vec<_> = listed.into_iter().chain(items).collect();
        let listed = self.ctl(&listed);
        let is_unsettled = |line: &&str| !line.is_empty() && !line.ends_with("\t0");
        let unsettled: Vec<_> = listed.lines().filter(is_unsettled).collect();
        if unsettled.is_empty() { Ok(()) } else { Err(format!("unsettled: {unsettled:?}")) }
    }
}

/// Whether no queue holds a message and nothing in the store waits, or what does.
pub(super) fn is_at_rest(site: &Site) -> Result<(), String> {
    for name in queue::ALL {
        match site.client.depth(name) {
            Some(0) => {}
            depth => return Err(format!("{name} holds {depth:?}")),
        }
    }
    let status = site.cli(&["store", "status", "--json"]);
    if status.code != 0 {
        return Err(status.err);
    }
    let status = status.json();
    let open = ["waiting", "pending", "published"].map(|state| &status["requests"][state]);
    let outbox = ["location", "reply", "note"].map(|lane| &status["outbox"][lane]);
    if open.into_iter().chain(outbox).any(|count| count.as_u64().unwrap_or(0) > 0) {
        return Err(status.to_string());
    }
    Ok(())
}
