//! The summary of the demo: what was sent, what became of it, and whether the numbers add up.

use serde_json::{Value, json};

use super::demo::{Summary, of};
use super::output;
use crate::domain::Leg;
use crate::standin::Count;

/// The numbers of both ends.
pub(super) struct Sums {
    /// Messages that billing sent, repeats after a lost confirm left out.
    sent: u64,
    /// Of them: contents that came before, which ask for nothing new.
    resent: u64,
    synchronised: u64,
    refused: u64,
    superseded: u64,
    parked: u64,
    /// Still under way, overdue or discarded: nothing in a demo should be.
    rest: u64,
}

impl Sums {
    pub(super) fn of(summary: &Summary) -> Self {
        let sent = [
            Count::Good,
            Count::Newer,
            Count::Corrected,
            Count::Duplicate,
            Count::Malformed,
            Count::Unmapped,
            Count::Missing,
            Count::TooLong,
        ];
        let counts = &summary.counts;
        let all: u64 = counts.requests.iter().map(|(_, count)| count).sum();
        let (synchronised, refused) = (of(counts, "applied"), of(counts, "rejected"));
        let (superseded, parked) = (of(counts, "superseded"), of(counts, "parked"));
        let sent: u64 = sent.iter().map(|count| summary.billing.count(*count)).sum();
        Self {
            sent,
            resent: sent - summary.contents,
            synchronised,
            refused,
            superseded,
            parked,
            rest: all - synchronised - refused - superseded - parked,
        }
    }

    /// Every message that billing sent has exactly one end.
    pub(super) fn add_up(&self) -> bool {
        let ends = self.synchronised + self.refused + self.superseded + self.parked + self.resent;
        self.rest == 0 && self.sent == ends
    }

    pub(super) fn print(&self, summary: &Summary, good: bool) {
        output::line("");
        output::line(format_args!(
            "{} messages in {:.1} s\n",
            self.sent,
            summary.took.as_secs_f64()
        ));
        output::line(format_args!("  sent by billing      {:>7}", self.sent));
        output::line(format_args!("  = synchronised       {:>7}", self.synchronised));
        output::line(format_args!(
            "  + refused            {:>7}   by asset management; billing has the reason",
            self.refused
        ));
        output::line(format_args!(
            "  + superseded         {:>7}   by a newer request or a correction",
            self.superseded
        ));
        output::line(format_args!(
            "  + sent twice         {:>7}   identical, and recognised",
            self.resent
        ));
        output::line(format_args!("  + parked             {:>7}", self.parked));
        for (group, count) in groups(summary, true) {
            output::line(format_args!("      {count:>5}  {group}"));
        }
        if self.rest > 0 {
            output::line(format_args!("  + still under way    {:>7}", self.rest));
        }
        let answers = groups(summary, false);
        if !answers.is_empty() {
            output::line("\n  answers on the error queue");
            for (group, count) in answers {
                output::line(format_args!("      {count:>5}  {group}"));
            }
        }
        output::line(format_args!("\n{}\n{}", summary.billing, summary.assets));
        output::line(if good {
            "the numbers add up; nothing was lost, doubled or reordered"
        } else {
            "THE NUMBERS DO NOT ADD UP"
        });
    }

    pub(super) fn json(&self, summary: &Summary, good: bool) -> Value {
        json!({
            "good": good,
            "seconds": summary.took.as_secs_f64(),
            "sent": self.sent,
            "synchronised": self.synchronised,
            "refused": self.refused,
            "superseded": self.superseded,
            "sent_twice": self.resent,
            "parked": self.parked,
            "still_under_way": self.rest,
            "parked_groups": groups(summary, true).into_iter().map(pair).collect::<Vec<_>>(),
            "answer_groups": groups(summary, false).into_iter().map(pair).collect::<Vec<_>>(),
            "billing": summary.billing,
            "assets": summary.assets,
        })
    }
}

fn pair((group, count): (String, u64)) -> Value {
    json!({ "group": group, "count": count })
}

/// The groups of parked requests, or of parked answers, with what they mean.
fn groups(summary: &Summary, requests: bool) -> Vec<(String, u64)> {
    let groups = summary.counts.errors_open.iter().filter(|(group, _)| {
        let of_requests = matches!(group.code.leg(), Leg::Request | Leg::Location);
        of_requests == requests
    });
    groups.map(|(group, count)| (format!("{group}  {}", group.code.title()), *count)).collect()
}
