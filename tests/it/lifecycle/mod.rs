//! The rules of a request's life, one story a file: `tests/scripts/lifecycle/*`.
//!
//! A script's name is the rule and its first comment the reason. Above `---` stands what happens,
//! below it how the requests react, line for line. The words are those of [`world::World`].

mod table;
mod world;

use crate::golden;

const SCRIPTS: &str = "tests/scripts/lifecycle";

#[test]
fn every_script_reacts_as_recorded() {
    let names = golden::names(SCRIPTS);
    assert!(!names.is_empty(), "no scripts in {SCRIPTS}");
    let wrong: Vec<_> = names.iter().filter_map(|name| run(name).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_script_begins_with_its_reason() {
    for name in golden::names(SCRIPTS) {
        let text = golden::read(&format!("{SCRIPTS}/{name}"));
        assert!(text.starts_with("# "), "{name} does not begin with its reason");
        assert!(name.contains('_'), "{name} is not a sentence");
    }
}

fn run(name: &str) -> Result<(), String> {
    let relative = format!("{SCRIPTS}/{name}");
    let text = golden::read(&relative);
    let events = text.split_once("---\n").map_or(text.as_str(), |(events, _)| events);
    let mut world = world::World::new();
    let mut recorded = format!("{}\n---\n", events.trim_end());
    for line in events.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let reaction = world.step(line).map_err(|error| format!("{relative}: {line}: {error}"))?;
        recorded.push_str(&reaction);
        recorded.push('\n');
    }
    golden::compare(&relative, &recorded)
}
