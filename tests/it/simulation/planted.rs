//! That the simulation sees what it must: one planted fault at a time, and the seeds it takes.

use super::checker::{Rule, check};
use super::script::of_seed;
use super::world::play;
use crate::support::fail;

/// How many seeds a planted fault may take.
const SEEDS_MAX: u64 = 1_000;

/// A fault of the bridge, put where the simulation can reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plant {
    StoreForgetsACommit,
    ReturnedCountsAsConfirmed,
    SettlesBeforeItRecords,
    LeaseOutlivesTheCrash,
    AnswerAppliedTwice,
    AnswerToAnOlderEditionApplied,
    RetryWithTheOldEdition,
    WrongNeighbourReleased,
    ReplySentTwice,
    ReplyGivenUpInSilence,
    DeskTakesNothingIn,
    ResendIsNotCounted,
}

#[expect(clippy::print_stderr, reason = "shown with --nocapture, for the table in the docs")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Finds a fault, by one of the rules that it can break, and tells after how many seeds.
fn find(plant: Plant, rules: &[Rule]) {
    for seed in 0..SEEDS_MAX {
        let faults = check(&play(&of_seed(seed), Some(plant)));
        if let Some(fault) = faults.iter().find(|fault| rules.contains(&fault.rule)) {
            say(&format!("{plant:?}: {:?} after {} seeds", fault.rule, seed + 1));
            return;
        }
    }
    fail(&format!("{plant:?} was not found within {SEEDS_MAX} seeds"));
}

#[test]
fn a_store_that_forgets_a_commit_is_found() {
    find(Plant::StoreForgetsACommit, &[Rule::Lost]);
}

#[test]
fn a_returned_message_that_counts_as_confirmed_is_found() {
    find(Plant::ReturnedCountsAsConfirmed, &[Rule::HandedOver, Rule::Replies]);
}

#[test]
fn a_delivery_settled_before_it_is_recorded_is_found() {
    find(Plant::SettlesBeforeItRecords, &[Rule::Lost]);
}

#[test]
fn a_lease_that_outlives_the_crash_is_found() {
    find(Plant::LeaseOutlivesTheCrash, &[Rule::Stuck]);
}

#[test]
fn an_answer_applied_twice_is_found() {
    find(Plant::AnswerAppliedTwice, &[Rule::Invented]);
}

#[test]
fn an_answer_to_an_older_edition_that_is_applied_is_found() {
    find(Plant::AnswerToAnOlderEditionApplied, &[Rule::Outdated]);
}

#[test]
fn a_retry_with_the_old_edition_is_found() {
    find(Plant::RetryWithTheOldEdition, &[Rule::Edition]);
}

#[test]
fn a_wrong_neighbour_that_is_released_is_found() {
    find(Plant::WrongNeighbourReleased, &[Rule::Edition]);
}

#[test]
fn a_reply_sent_twice_is_found() {
    find(Plant::ReplySentTwice, &[Rule::Replies]);
}

#[test]
fn a_reply_given_up_in_silence_is_found() {
    find(Plant::ReplyGivenUpInSilence, &[Rule::Replies]);
}

#[test]
fn a_desk_that_takes_nothing_in_is_found() {
    find(Plant::DeskTakesNothingIn, &[Rule::Lost]);
}

#[test]
fn a_resend_that_is_not_counted_is_found() {
    find(Plant::ResendIsNotCounted, &[Rule::Counts]);
}
