//! The mapping language, rule by rule, on a small message.

use std::fs;

use tempfile::TempDir;

use super::super::*;
use super::load::folder_with;
use crate::domain::{Defect, FailureCode};

/// Translates a message with these rules. The body stands inside of `<m>`, after the ids.
fn apply(rules: &str, body: &str) -> Result<String, Vec<Defect>> {
    let folder = folder_with(rules);
    let catalog = match Catalog::load(folder.path()) {
        Ok(catalog) => catalog,
        Err(errors) => {
            panic!("{:?}", errors.problems.iter().map(ToString::to_string).collect::<Vec<_>>())
        }
    };
    let message = format!("<m><id>1</id><sp>2</sp>{body}</m>");
    let translated = catalog.translate(message.as_bytes(), &ContentType::default());
    match translated.outcome {
        Ok(translation) => {
            let text = String::from_utf8(translation.outgoing).unwrap();
            let inside = text.split_once("<t>").map_or("", |(_, rest)| rest);
            Ok(inside.trim_end_matches("</t>").to_owned())
        }
        Err(failure) => Err(failure.defects),
    }
}

fn gives(rule: &str, body: &str, expected: &str) {
    assert_eq!(apply(rule, body).unwrap(), expected, "{rule}");
}

fn refuses(rule: &str, body: &str, code: FailureCode) {
    let defects = apply(rule, body).unwrap_err();
    assert_eq!(defects[0].code, code, "{rule}: {defects:?}");
}

#[test]
fn values_are_copied_trimmed_joined_and_defaulted() {
    gives(r#"{ to = "x", from = "a" }"#, "<a> v </a>", "<x>v</x>");
    gives(r#"{ to = "x", from = "a", trim = "none" }"#, "<a> v </a>", "<x> v </x>");
    gives(r#"{ to = "x", from = "a", trim = "end" }"#, "<a> v </a>", "<x> v</x>");
    gives(r#"{ to = "x", from = "a/@unit" }"#, "<a unit='k&amp;W'>1</a>", "<x>k&amp;W</x>");
    gives(r#"{ to = "x", from = ["a", "b"] }"#, "<a/><b>2</b>", "<x>2</x>");
    gives(
        r#"{ to = "x", concat = ["a", "b", "c"], separator = "-" }"#,
        "<a>1</a><c>3</c>",
        "<x>1-3</x>",
    );
    gives(r#"{ to = "x", from = "a", default = "d" }"#, "<a> </a>", "<x>d</x>");
    gives(r#"{ to = "x", from = "a", keep_empty = true }"#, "", "<x/>");
    gives(r#"{ to = "x", from = "a" }"#, "", "");
    gives(r#"{ to = "x", const = "c" }"#, "", "<x>c</x>");
    gives(
        r#"{ to = "x", from = "a", pad = { to = 5, with = "0", side = "left" } }"#,
        "<a>42</a>",
        "<x>00042</x>",
    );
    refuses(r#"{ to = "x", from = "a", required = true }"#, "<a/>", FailureCode::MissingField);
}

#[test]
fn values_are_checked() {
    gives(r#"{ to = "x", from = "a", length = 2, over = "truncate" }"#, "<a>äöü</a>", "<x>äö</x>");
    refuses(r#"{ to = "x", from = "a", length = 2 }"#, "<a>äöü</a>", FailureCode::TooLong);
    gives(
        r#"{ to = "x", from = "a", date = { in = "%d.%m.%Y", out = "date" } }"#,
        "<a>31.12.2025</a>",
        "<x>2025-12-31</x>",
    );
    refuses(
        r#"{ to = "x", from = "a", date = "date" }"#,
        "<a>2025-02-30</a>",
        FailureCode::BadValue,
    );
    gives(r#"{ to = "x", from = "a", boolean = ["Y", "N"] }"#, "<a>0</a>", "<x>N</x>");
    refuses(r#"{ to = "x", from = "a", boolean = true }"#, "<a>maybe</a>", FailureCode::BadValue);
    refuses(
        r#"{ to = "x", from = "a", number = { decimals = 0 } }"#,
        "<a>1.5</a>",
        FailureCode::BadValue,
    );
    gives(r#"{ to = "x", from = "a", map = "m" }"#, "<a>K</a>", "<x>V</x>");
    refuses(r#"{ to = "x", from = "a", map = "m" }"#, "<a>L</a>", FailureCode::UnmappedValue);
}

#[test]
fn rules_without_a_value_change_nothing_however_many() {
    let idle = |n: usize| {
        format!(
            r#"{{ to = "g{n}/x", from = "c{n}" }},
            {{ to = "h{n}/x", const = "1", when = {{ path = "k", is = "{n}" }} }},
            {{ to = "i{n}/x", from = "l[k={n}]/v" }},"#
        )
    };
    let idle = (0..200).map(idle).collect::<Vec<_>>().concat();
    let rules = format!(r#"{{ to = "a", from = "a" }}, {idle} {{ to = "d/b", from = "b" }}"#);
    let none = "<a>1</a><k>x</k><l><k>y</k><v>2</v></l><b>3</b>";
    gives(&rules, none, "<a>1</a><d><b>3</b></d>");
    let three = "<k> 7 </k><l><k>9</k><v>2</v></l><c199>3</c199>";
    gives(&rules, three, "<h7><x>1</x></h7><i9><x>2</x></i9><g199><x>3</x></g199>");
    refuses(
        &format!(r#"{idle} {{ to = "d", from = "b", required = true }}"#),
        none.split_once("<b>").unwrap().0,
        FailureCode::MissingField,
    );
}

#[test]
fn conditions_choose_rules() {
    let rules = r#"
        { to = "x", const = "one", when = { path = "a", is = ["1", "eins"] } },
        { to = "x", const = "other", when = { path = "a", present = true } },
        { to = "x", const = "none" },
        { to = "y", const = "no b", when = [{ path = "b", present = false }, { path = "a", not = "1" }] },"#;
    gives(rules, "<a>eins</a><b>1</b>", "<x>one</x>");
    gives(rules, "<a>2</a>", "<x>other</x><y>no b</y>");
    gives(rules, "<a/>", "<x>none</x><y>no b</y>");
}

#[test]
fn choices_find_one_of_several_and_make_one() {
    let body = "<c><t>A</t><v>1</v></c><c><t> B </t><v>2</v></c><c><t>B</t><v>3</v></c>";
    gives(r#"{ to = "e[n=A]/v", from = "c[t=A]/v" }"#, body, "<e><n>A</n><v>1</v></e>");
    gives(r#"{ to = "x", from = "c[t=B]/v", pick = "last" }"#, body, "<x>3</x>");
    gives(r#"{ to = "x", from = "c[t=B]/v", pick = "first" }"#, body, "<x>2</x>");
    gives(r#"{ to = "e[n=C]/v", from = "c[t=C]/v" }"#, body, "");
    refuses(r#"{ to = "x", from = "c[t=B]/v" }"#, body, FailureCode::DuplicateField);
    refuses(r#"{ to = "x", from = "c/v" }"#, body, FailureCode::DuplicateField);
}

#[test]
fn groups_repeat_and_nest() {
    let rules = r#"{ to = "list/item", each = "g/h", when = { path = "k", not = "skip" }, rules = [
        { to = "key", from = "k", required = true },
        { to = "id", from = "/id" },
        { to = "part", each = "p", rules = [ { to = "n", from = "n" } ] },
    ] }"#;
    let body = "<g><h><k>1</k><p><n>a</n></p><p><n>b</n></p></h><h><k>skip</k></h></g><g><h><k>2</k></h></g>";
    let expected = "<list><item><key>1</key><id>1</id><part><n>a</n></part><part><n>b</n></part></item>\
                    <item><key>2</key><id>1</id></item></list>";
    gives(rules, body, expected);
    gives(rules, "", "");
    let defects = apply(rules, "<g><h><k/></h>\n<h/></g>").unwrap_err();
    let places: Vec<_> = defects.iter().map(|defect| (defect.line, defect.column)).collect();
    assert_eq!(places, [(Some(1), Some(30)), (Some(2), Some(1))]);
    assert_eq!(defects[0].rule.as_deref(), Some("list/item/key"));
    assert_eq!(defects[0].path.as_deref(), Some("g/h/k"));
}

#[test]
fn a_strict_mapping_names_what_it_does_not_know() {
    let folder = folder_with(r#"{ to = "x", from = "a/b" }"#);
    let mapping = folder.path().join("request/mapping.toml");
    let text = fs::read_to_string(&mapping).unwrap();
    let strict = "source.unknown = \"refuse\"\nsource.ignore = [\"known/deep\"]\n";
    fs::write(&mapping, text.replacen("select", &format!("{strict}#select"), 1)).unwrap();
    let catalog = Catalog::load(folder.path()).unwrap();
    let message =
        b"<m><id>1</id><sp>2</sp><known><deep><er/></deep></known>\n<a><c><d/></c></a><e/></m>";
    let failure = catalog.translate(message, &ContentType::default()).outcome.unwrap_err();
    let paths: Vec<_> =
        failure.defects.iter().filter_map(|defect| defect.path.as_deref()).collect();
    assert_eq!((failure.code, paths), (FailureCode::UnknownField, vec!["a/c", "e"]));
    assert_eq!((failure.defects[0].line, failure.defects[0].column), (Some(2), Some(4)));
}

#[test]
fn passes_of_a_map_are_counted() {
    let folder: TempDir =
        folder_with(r#"{ to = "x", from = "a", map = "p" }, { to = "y", from = "b", map = "p" }"#);
    fs::write(folder.path().join("maps/p.toml"), "miss = \"pass\"\n[entries]\n\"K\" = \"V\"\n")
        .unwrap();
    let catalog = Catalog::load(folder.path()).unwrap();
    let message = b"<m><id>1</id><sp>2</sp><a>K</a><b>L</b></m>";
    let translation = catalog.translate(message, &ContentType::default()).outcome.unwrap();
    assert_eq!(translation.passes, 1);
}
