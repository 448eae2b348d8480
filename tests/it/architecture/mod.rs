//! Which module may name what: the layers of `docs/architecture.md`, held by a table.
//!
//! Test code is exempt: what stands under `#[cfg(test)]` and in files or folders named `tests`.

mod names;

use std::fs;
use std::path::Path;

use crate::golden;

/// The adapters and what is above them: nothing below may name these.
const ABOVE_BRIDGE: [&str; 7] = [
    "crate::amqp",
    "crate::store",
    "crate::http",
    "crate::config",
    "crate::runtime",
    "crate::standin",
    "crate::cli",
];
const ABOVE_ADAPTERS: [&str; 3] = ["crate::runtime", "crate::standin", "crate::cli"];
const NO_IO: [&str; 7] =
    ["tokio", "tokio_util", "async_trait", "tracing", "metrics", "std::fs", "std::net"];

/// What each module must not name, beyond what has a single home.
const LAYERS: &[(&str, &[&[&str]])] = &[
    ("domain", &[&["crate::transform", "crate::bridge", "serde", "toml"], &NO_IO, &ABOVE_BRIDGE]),
    ("transform", &[&["crate::bridge", "tokio", "async_trait", "std::net"], &ABOVE_BRIDGE]),
    ("bridge", &[&["std::fs", "std::net"], &ABOVE_BRIDGE]),
    (
        "config",
        &[&ABOVE_ADAPTERS, &["crate::amqp", "crate::store", "crate::http", "crate::bridge"]],
    ),
    ("amqp", &[&ABOVE_ADAPTERS, &["crate::store", "crate::http", "crate::transform"]]),
    ("store", &[&ABOVE_ADAPTERS, &["crate::amqp", "crate::http", "crate::transform"]]),
    ("http", &[&ABOVE_ADAPTERS, &["crate::amqp", "crate::store", "crate::transform"]]),
    ("standin", &[&["crate::runtime", "crate::cli", "crate::store", "crate::http"]]),
    ("standin", &[&["crate::transform", "crate::config"]]),
    ("runtime", &[&["crate::cli"]]),
    ("cli", &[]),
];

/// What has a single home, or few: nobody else may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("lapin", &["amqp"]),
    ("rusqlite", &["store"]),
    ("axum", &["http"]),
    ("clap", &["cli"]),
    ("comfy_table", &["cli"]),
    // Diagnostics with a place in a file.
    ("miette", &["cli", "config", "transform"]),
    ("quick_xml", &["transform", "standin"]),
    ("backon", &["amqp"]),
    ("println!", &["cli"]),
    ("print!", &["cli"]),
    ("eprintln!", &["cli"]),
    ("eprint!", &["cli"]),
    ("dbg!", &[]),
    // Crash points and planted bugs: nothing pure has one.
    ("point!", &["amqp", "bridge", "runtime", "store"]),
    ("planted!", &["amqp", "bridge", "store"]),
    ("std::env::var", &["config"]),
    ("env::var", &["config"]),
];

#[test]
fn no_module_names_what_it_must_not() {
    let mut breaches = Vec::new();
    walk(&golden::path("src"), &mut |path| {
        let relative = path.strip_prefix(golden::path("src")).unwrap().to_str().unwrap();
        breaches.extend(check(relative, &fs::read_to_string(path).unwrap()));
    });
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_module_has_its_row() {
    for entry in fs::read_dir(golden::path("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let known = LAYERS.iter().any(|(module, _)| *module == name);
        assert!(known || !entry.path().is_dir(), "src/{name} has no row in the table of layers");
    }
}

#[test]
fn a_planted_breach_is_found() {
    let source = "use crate::{domain::State, bridge::{Lane, ports}};\nfn f() { tokio::spawn(()); }";
    assert_eq!(
        check("domain/planted.rs", source),
        ["src/domain/planted.rs names crate::bridge", "src/domain/planted.rs names tokio"]
    );
    let source = "use super::super::amqp::Publisher;\nuse lapin as rabbit;";
    assert_eq!(
        check("store/planted.rs", source),
        ["src/store/planted.rs names crate::amqp", "src/store/planted.rs names lapin"]
    );
    let source = "fn f() { std::env::var(\"HOME\"); println!(\"{}\", 1); }";
    assert_eq!(
        check("bridge/planted.rs", source),
        ["src/bridge/planted.rs names println!", "src/bridge/planted.rs names std::env::var"]
    );
}

#[test]
fn words_in_texts_comments_and_tests_are_no_breach() {
    let source = "//! Knows nothing of lapin::Channel.\n\
         /* crate::amqp */ const A: &str = \"use crate::amqp;\"; const B: char = '\"';\n\
         const C: &str = r#\"tokio::spawn(\"x\")\"#; fn f<'a>(_: &'a str) { my::tokio::x() }\n\
         #[cfg(test)]\nmod tests { use crate::store::Store; fn g() { println!(\"{\"); } }\n\
         #[cfg(test)]\nmod more;\n";
    assert_eq!(check("domain/innocent.rs", source), Vec::<String>::new());
    let source = "#[cfg(test)]\nmod tests;\nuse crate::store::Store;\n";
    assert_eq!(check("domain/guilty.rs", source), ["src/domain/guilty.rs names crate::store"]);
}

fn walk(folder: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            walk(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path);
        }
    }
}

/// What a source file names although its module must not. Files beside the modules (`main.rs`,
/// `lib.rs`) count as modules of their own name.
fn check(relative: &str, source: &str) -> Vec<String> {
    let module = relative.split(['/', '.']).next().unwrap();
    let rows = LAYERS.iter().filter(|(name, _)| *name == module);
    let layers = rows.flat_map(|(_, lists)| lists.iter().flat_map(|list| list.iter()));
    let homes = HOMES.iter().filter(|(_, homes)| !homes.contains(&module)).map(|(name, _)| name);
    let mut named = names::of(relative, source);
    named.retain(|name| layers.clone().chain(homes.clone()).any(|other| other == name));
    named.into_iter().map(|name| format!("src/{relative} names {name}")).collect()
}
