//! What people read is held to what the code says.

use std::path::Path;

use tieline::domain::FailureCode;
use tieline::runtime::telemetry::METRICS;

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
    ("store", &["status", "migrate", "accept-older", "backup", "restore"]),
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

#[test]
fn blocks_show_only_commands_that_there_are() {
    for page in pages() {
        let text = golden::read(&page);
        let blocks = text.split("```").skip(1).step_by(2);
        for line in blocks.flat_map(str::lines).filter(|line| line.starts_with("tieline ")) {
            assert!(is_known(line), "{page}: {line}");
        }
    }
}

#[test]
fn every_link_to_a_file_or_a_heading_leads_there() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap();
        for link in links(&golden::read(&page)) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { Path::new(&page).into() } else { folder.join(file) };
            let target = target.to_str().unwrap();
            let there = golden::path(target).exists()
                && (heading.is_empty() || has_heading(&golden::read(target), heading));
            if !there {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let page = golden::read("docs/telemetry.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tieline_"));
    let told: Vec<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (format!("tieline_{}", cells[0].trim_end_matches('`')), cells[1].to_owned())
        })
        .collect();
    let kind = |name: &str| if name.ends_with("_total") { "counter" } else { "gauge" };
    let known: Vec<_> =
        METRICS.iter().map(|(name, _)| ((*name).to_owned(), kind(name).to_owned())).collect();
    assert_eq!(told, known);
}

#[test]
fn pages_name_only_metrics_that_there_are() {
    for page in pages() {
        for name in spans(&golden::read(&page)).iter().flat_map(|span| metrics(span)) {
            assert!(METRICS.iter().any(|(known, _)| *known == name), "{page}: {name}");
        }
    }
}

#[test]
fn pages_name_only_settings_that_there_are() {
    let settings = tieline::config::Settings::default().keys();
    // The guide to the mappings speaks of the keys of a mapping.
    for page in pages().into_iter().filter(|page| page != "docs/mapping.md") {
        for span in spans(&golden::read(&page)) {
            let name = span.split([' ', '=']).next().unwrap_or_default();
            let Some((section, key)) = name.split_once('.') else { continue };
            let Some((_, keys)) = settings.iter().find(|(known, _)| *known == section) else {
                continue;
            };
            // A file of a folder that has the name of a section is no setting.
            if !is_file(key) {
                assert!(keys.contains(&key), "{page}: {name}");
            }
        }
    }
}

/// Every page of the repository.
fn pages() -> Vec<String> {
    let folders = ["", "docs", "docs/adr", ERRORS, "queues", "transforms"];
    let pages = folders.iter().flat_map(|folder| {
        let names = golden::names(folder).into_iter().filter(|name| is_page(name));
        names.map(move |name| Path::new(folder).join(name).to_str().unwrap().to_owned())
    });
    pages.collect()
}

/// Where the links of a page lead, those to other sites left out.
fn links(page: &str) -> Vec<String> {
    let texts = page.split("```").step_by(2).flat_map(|text| text.split("](").skip(1));
    let links = texts.filter_map(|text| text.split(')').next());
    links.filter(|link| !link.contains("://")).map(str::to_owned).collect()
}

/// Whether a page has a heading that an anchor names: its words in small letters, with hyphens.
fn has_heading(page: &str, anchor: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let mut anchors = headings.map(|heading| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    });
    anchors.any(|found| found == anchor)
}

/// What stands in backticks on a page, outside of blocks.
fn spans(page: &str) -> Vec<String> {
    let texts = page.split("```").step_by(2);
    texts.flat_map(|text| text.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The metrics in an expression.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tieline_"))
}

/// Whether what stands behind the dot is a file's ending.
fn is_file(name: &str) -> bool {
    const KINDS: [&str; 6] = ["rs", "toml", "md", "xml", "json", "db"];
    name.split(['.', '-']).any(|part| KINDS.contains(&part))
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
