//! What people read is held to what the code says.

use std::path::Path;

use tieline::domain::FailureCode;

use crate::golden;

const ERRORS: &str = "docs/errors";
const ADR: &str = "docs/adr";

const HEADINGS: [&str; 5] =
    ["Meaning", "What to do", "Likely causes", "Does a retry help", "What billing sees"];

/// The commands that pages may name; their words are a contract.
const COMMANDS: [(&str, &[&str]); 11] = [
    ("run", &[]),
    ("demo", &[]),
    ("doctor", &[]),
    ("queues", &["show", "check", "declare", "export"]),
    ("transforms", &["check", "try", "test"]),
    ("requests", &["list", "show", "trace"]),
    (
        "errors",
        &["list", "groups", "show", "check", "retry", "edit", "discard", "restore", "export"],
    ),
    ("simulate", &["billing", "assets"]),
    ("store", &["status", "migrate", "backup", "restore"]),
    ("config", &["check", "show"]),
    ("explain", &[]),
];

#[test]
fn every_failure_code_has_its_page_and_every_page_its_code() {
    let codes: Vec<_> = FailureCode::ALL.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(golden::names(ERRORS), codes);
}

#[test]
fn every_error_page_has_its_title_and_the_same_headings() {
    for code in FailureCode::ALL {
        let page = golden::read(&format!("{ERRORS}/{code}.md"));
        let title = format!("# {code}: {}", code.title());
        assert_eq!(page.lines().next(), Some(title.as_str()));
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, HEADINGS, "{code}");
        for section in page.split("\n## ").skip(1) {
            let (heading, text) = section.split_once('\n').unwrap();
            assert!(!text.trim().is_empty(), "{code}: nothing under '{heading}'");
        }
    }
}

#[test]
fn an_error_page_names_no_other_failures_code_in_its_commands() {
    for code in FailureCode::ALL {
        for command in commands(&golden::read(&format!("{ERRORS}/{code}.md"))) {
            for word in command.split([' ', ':']).filter(|word| word.starts_with("TL")) {
                assert_eq!(word, code.as_str(), "{command}");
            }
        }
    }
}

#[test]
fn pages_name_only_commands_that_there_are() {
    let mut pages: Vec<_> = golden::names(ERRORS).iter().map(|n| format!("{ERRORS}/{n}")).collect();
    let others = golden::names("docs").into_iter().filter(|name| is_page(name));
    pages.extend(others.map(|name| format!("docs/{name}")));
    for page in pages {
        for command in commands(&golden::read(&page)) {
            assert!(is_known(&command), "{page}: `{command}`");
        }
    }
}

#[test]
fn every_decision_is_in_the_index_and_has_its_four_parts() {
    let index = golden::read(&format!("{ADR}/README.md"));
    for name in golden::names(ADR).iter().filter(|name| *name != "README.md") {
        assert!(index.contains(&format!("({name})")), "{name} is not in the index");
        let page = golden::read(&format!("{ADR}/{name}"));
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, ["Context", "Decision", "Consequences", "Roads not taken"], "{name}");
    }
}

fn is_page(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "md")
}

/// The commands on a page: what stands in backticks and begins with `tieline `.
fn commands(page: &str) -> Vec<String> {
    let spans = page.split('`').skip(1).step_by(2);
    let words = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    words.filter(|span| span.starts_with("tieline ")).collect()
}

fn is_known(command: &str) -> bool {
    let mut words = command.split(' ').skip(1);
    let found = COMMANDS.iter().find(|(name, _)| words.clone().next() == Some(*name));
    let Some((_, actions)) = found else { return false };
    let action = words.nth(1);
    actions.is_empty() || action.is_none_or(|action| actions.contains(&action))
}
