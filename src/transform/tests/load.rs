//! Mistakes in a folder of mappings: all at once, each with its place and what to do.

use std::fs;

use tempfile::TempDir;

use super::super::*;

/// Lines of the request mapping in front of its first rule.
const HEAD: &str = r#"kind = "metered"
source.root = "m"
source.namespace = ""
select = { path = "id", present = true }
identity.sync_request = "id"
identity.service_point = "sp"
target.root = "t"
target.namespace = ""
rules = [
"#;

const ANSWER: &str = include_str!("../../../transforms/answer/mapping.toml");
const REPLY: &str = include_str!("../../../transforms/reply/mapping.toml");

/// A folder with a request mapping of these rules, and all else that a catalog needs.
pub(super) fn folder_with(rules: &str) -> TempDir {
    folder_of(&format!("{HEAD}{rules}\n]\n"))
}

fn folder_of(mapping: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("request/mapping.toml", mapping);
    write("answer/mapping.toml", ANSWER);
    write("reply/mapping.toml", REPLY);
    write("maps/m.toml", "miss = \"refuse\"\n[entries]\n\"K\" = \"V\"\n");
    write("maps/error-code.toml", "miss = \"pass\"\n[entries]\n\"1!2\" = \"3!4\"\n");
    folder
}

/// The mistakes of a folder as `file:line:column: message`.
fn mistakes(folder: &TempDir) -> Vec<String> {
    match Catalog::load(folder.path()) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            assert!(errors.problems.iter().all(|problem| !problem.help.is_empty()));
            errors.problems.iter().map(ToString::to_string).collect()
        }
    }
}

#[test]
fn a_mistake_is_told_with_its_line_and_column() {
    let first = HEAD.lines().count() + 1;
    let rows = [
        (r#"{ to = "x", from = "a", lenght = 3 }"#, "1:25: unknown key 'lenght'"),
        (r#"{ to = "x" }"#, "1:1: the rule has nothing to write"),
        (r#"{ from = "a" }"#, "1:1: 'to' is missing"),
        (r#"{ to = "x", from = "a//b" }"#, "1:23: 'a//b' is no path: a name is missing"),
        (
            r#"{ to = "x", from = "a[b]" }"#,
            "1:22: 'a[b]' is no path: a choice is written [child=value]",
        ),
        (r#"{ to = "x", from = "a", map = "n" }"#, "1:31: there is no map 'n'"),
        (r#"{ to = "x", from = "a" }, { to = "x", from = "b" }"#, "1:34: two rules for 'x'"),
        (
            r#"{ to = "x", from = "a" }, { to = "x/y", from = "b" }"#,
            "1:34: 'x/y' would be both a value and a group of elements",
        ),
        (
            r#"{ to = "x/y", from = "a" }, { to = "x", from = "b" }"#,
            "1:36: 'x' would be both a value and a group of elements",
        ),
        (
            r#"{ to = "x", from = "a", date = "dd.mm.yyyy" }"#,
            "1:32: bad date format: 'dd.mm.yyyy' is no date format",
        ),
        (
            r#"{ to = "x", from = "a", length = 0 }"#,
            "1:34: 'length' is a number, not a whole number from 1 on",
        ),
        (
            r#"{ to = "x", from = "a", length = "9" }"#,
            "1:34: 'length' is a string, not a whole number from 1 on",
        ),
        (
            r#"{ to = "x", from = "a", map = "m", default = "L" }"#,
            "1:46: the default 'L' does not fit its own rule",
        ),
        (
            r#"{ to = "x", from = "a", length = 2, default = "abc" }"#,
            "1:47: the default 'abc' does not fit its own rule",
        ),
        (r#"{ to = "x", const = "abc", length = 2 }"#, "1:13: 'abc' is longer than 2 characters"),
        (r#"{ to = "x", const = "abc", map = "m" }"#, "1:28: 'map' means nothing beside 'const'"),
        (r#"{ to = "x", from = "a", const = "b" }"#, "1:25: the rule has both 'from' and 'const'"),
        (r#"{ to = "x", from = "a", over = "truncate" }"#, "1:25: 'over' without 'length'"),
        (r#"{ to = "x", from = "a", pick = "frist" }"#, "1:32: 'frist' is no word for 'pick'"),
        (r#"{ to = "x", from = "a", when = { path = "b" } }"#, "1:32: a condition asks one thing"),
        (r#"{ to = "x/@y", from = "a" }"#, "1:8: 'x/@y' is no target path"),
        (
            "{ to = \"ok\", from = \"a\" },\n{ to = \"x\", from = \"a\", nummer = true }",
            "2:25: unknown key 'nummer'",
        ),
    ];
    for (rules, expected) in rows {
        let (line, rest) = expected.split_once(':').unwrap();
        let line = first - 1 + line.parse::<usize>().unwrap();
        let found = mistakes(&folder_with(rules));
        assert_eq!(
            found.last().map(String::as_str),
            Some(&*format!("request/mapping.toml:{line}:{rest}")),
            "{rules}"
        );
        // The map that the rows do not use is a warning, not a mistake.
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn a_mistake_in_line_14_is_reported_there_and_shown_with_a_caret() {
    let rules = "{ to = \"a\", from = \"a\" },\n{ to = \"b\", from = \"b\" },\n{ to = \"c\", from = \"c\" },\n{ to = \"d\", from = \"d\" },\n{ to = \"e\", from = \"e\", lenght = 5 },";
    let errors = Catalog::load(folder_with(rules).path()).unwrap_err();
    assert_eq!((errors.problems[0].line, errors.problems[0].column), (Some(14), Some(25)));
    assert_eq!(errors.problems[0].help, "did you mean 'length'?");
    let mut shown = String::new();
    let theme = miette::GraphicalTheme::unicode_nocolor();
    let handler = miette::GraphicalReportHandler::new_themed(theme);
    handler.render_report(&mut shown, &errors.problems[0]).unwrap();
    assert!(shown.contains("request/mapping.toml:14:25") && shown.contains("╰── here"), "{shown}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let folder = folder_of(
        "kind = \"metered\"\nsource.root = \"m\"\nrules = [ { to = \"x\" }, { to = \"y\", from = \"\" } ]\n",
    );
    fs::write(
        folder.path().join("maps/m.toml"),
        "miss = \"refuse\"\n[entries]\n\"K\" = \"V\"\n\" E-RES\" = \"R\"\n\"K\" = \"W\"\n",
    )
    .unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::create_dir(folder.path().join("request/samples")).unwrap();
    fs::write(folder.path().join("request/samples/one.xml"), "<m/>").unwrap();
    fs::write(folder.path().join("request/samples/two.expected.xml"), "<m/>").unwrap();
    let found = mistakes(&folder);
    let expected = [
        "empty: the folder has no mapping.toml",
        "maps/m.toml:4:1: no value can match ' E-RES'",
        "maps/m.toml:5:1: duplicate key",
        "request/mapping.toml:1:1: 'identity' is missing",
        "request/mapping.toml:1:1: 'target' is missing",
        "request/mapping.toml:2:1: 'namespace' is missing",
        "request/mapping.toml:3:11: the rule has nothing to write",
        "request/mapping.toml:3:45: '' is no path: a name is missing",
        "request/samples/one.xml: the sample has no expected output",
        "request/samples/two.expected.xml: there is no sample for this expectation",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn dead_entries_and_unused_maps_are_found() {
    let folder = folder_with(r#"{ to = "x", from = "a", map = "m", length = 3 }"#);
    fs::write(
        folder.path().join("maps/m.toml"),
        "miss = \"refuse\"\n[entries]\n\"K\" = \"much too long\"\n",
    )
    .unwrap();
    assert_eq!(
        mistakes(&folder),
        ["maps/m.toml:3:7: 'much too long' is longer than every rule that uses it takes"]
    );
    let unused = Catalog::load(folder_with(r#"{ to = "x", from = "a" }"#).path()).unwrap();
    let warnings: Vec<_> = unused.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["maps/m.toml:1:1: no rule uses the map 'm'"]);
}

#[test]
fn a_reply_is_made_of_known_paths_only() {
    let folder = folder_with(r#"{ to = "x", from = "a", map = "m" }"#);
    let reply = REPLY.replace("from = \"hasError\"", "from = \"hasErrors\"");
    fs::write(folder.path().join("reply/mapping.toml"), reply).unwrap();
    assert_eq!(mistakes(&folder), ["reply/mapping.toml:16:29: nothing has the path 'hasErrors'"]);
}

#[test]
fn two_mappings_of_one_root_say_which_messages_they_take() {
    let folder = folder_with(r#"{ to = "x", from = "a", map = "m" }"#);
    fs::create_dir(folder.path().join("second")).unwrap();
    let second = HEAD.replace("select = ", "#");
    fs::write(
        folder.path().join("second/mapping.toml"),
        format!("{second}{{ to = \"x\", from = \"a\" }}]"),
    )
    .unwrap();
    let found = mistakes(&folder);
    assert_eq!(
        found,
        ["second/mapping.toml: the mapping takes every message of the root 'm', and so do others"]
    );
}

#[test]
fn a_folder_must_hold_every_kind() {
    let folder = TempDir::new().unwrap();
    let found = mistakes(&folder);
    let expected = [
        "there is no mapping for answers",
        "there is no mapping for replies",
        "there is no mapping for requests",
    ];
    let mut found: Vec<_> = found.iter().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(Catalog::load(&folder.path().join("nowhere")).is_err());
}

#[test]
fn a_digest_changes_with_the_maps_that_a_mapping_uses() {
    let folder = folder_with(r#"{ to = "x", from = "a", map = "m" }"#);
    let of = |catalog: &Catalog| {
        let message = b"<m><id>1</id><sp>2</sp></m>";
        catalog.translate(message, &ContentType::default()).outcome.unwrap().mapping
    };
    let before = Catalog::load(folder.path()).unwrap();
    fs::write(
        folder.path().join("maps/error-code.toml"),
        "miss = \"refuse\"\n[entries]\n\"1!2\" = \"3!4\"\n",
    )
    .unwrap();
    let other = Catalog::load(folder.path()).unwrap();
    fs::write(folder.path().join("maps/m.toml"), "miss = \"refuse\"\n[entries]\n\"K\" = \"W\"\n")
        .unwrap();
    let after = Catalog::load(folder.path()).unwrap();
    assert_eq!(of(&before), of(&other));
    assert_ne!(before.digest(), other.digest());
    assert_ne!(of(&other), of(&after));
}
