//! Makes a failing script short: without each part that it fails without.

use super::checker::{Rule, check};
use super::script::{Operation, of_seed};
use super::world::play;
use super::{SCRIPTS, faults_of, written};

/// A failing seed for people: its faults and the shortest script that was found.
pub(super) fn told(seed: u64) -> String {
    let script = of_seed(seed);
    let Some(rule) = first(&script) else { return format!("seed {seed} fails only sometimes") };
    let script = shrunk(script, rule);
    format!(
        "seed {seed}:\n{}a script for {SCRIPTS}/:\n{}",
        faults_of(&script).unwrap_or_default(),
        written(&script)
    )
}

/// Drops halves, quarters and so on to single operations, as long as the same rule is broken.
fn shrunk(mut script: Vec<Operation>, rule: Rule) -> Vec<Operation> {
    let mut size = script.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut dropped = false;
        while at < script.len() {
            let end = (at + size).min(script.len());
            let less = [&script[..at], &script[end..]].concat();
            if first(&less) == Some(rule) {
                script = less;
                dropped = true;
            } else {
                at = end;
            }
        }
        if size > 1 || !dropped {
            size /= 2;
        }
    }
    script
}

fn first(script: &[Operation]) -> Option<Rule> {
    check(&play(script, None)).first().map(|fault| fault.rule)
}
