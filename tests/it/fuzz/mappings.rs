//! Mapping files and value maps: used, or every mistake told at its place.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tieline::transform::Catalog;

use super::engine::run;
use super::messages::{check_request, without_values};
use super::target::Target;
use crate::golden;

/// Every file of the folder of mappings that can be replaced.
const FILES: [&str; 11] = [
    "service-point/mapping.toml",
    "item/mapping.toml",
    "answer/mapping.toml",
    "reply/mapping.toml",
    "maps/asset-type.toml",
    "maps/country.toml",
    "maps/error-code.toml",
    "maps/mo.toml",
    "maps/source-status.toml",
    "maps/sp-type.toml",
    "maps/time-zone.toml",
];

/// What the first line of an input says: which file it is. Another line means the first of them.
const MARK: &str = "# file: ";

#[test]
fn mappings() {
    let target = Target {
        name: "mappings",
        samples: &[],
        more: files,
        tokens: &[
            "rules = [",
            "{ to = \"a/b\", from = \"c\" }",
            "each = \"a/b\"",
            "map = \"mo\"",
            "length = ",
            "when = { path = \"a\", is = \"b\" }",
            "[name=X]",
            "attribute[",
            "//",
            "/",
            "../",
            "@id",
            "date = \"%Y%m%d\"",
            "date = \"%\"",
            "number = { min = 0, max = -1 }",
            "const = \"\"",
            "boolean = [\"Y\", \"N\"]",
            "default = ",
            "over = \"truncate\"",
            "miss = \"refuse\"",
            "9223372036854775807",
            "true",
            "nan",
            "1979-05-27",
            "'''",
            "\\u0000",
            "required = true",
        ],
        longest: 16 << 10,
        mutations: 150,
    };
    let folder = TempDir::with_prefix("tieline-fuzz-").unwrap();
    for file in FILES {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, golden::read(&format!("transforms/{file}"))).unwrap();
    }
    let sample =
        fs::read(golden::path("transforms/service-point/samples/residential.xml")).unwrap();
    run(&target, |input| check(folder.path(), input, &sample));
}

fn files() -> Vec<Vec<u8>> {
    let text = |file| golden::read(&format!("transforms/{file}"));
    FILES.iter().map(|file| format!("{MARK}{file}\n{}", text(file)).into_bytes()).collect()
}

fn check(folder: &Path, input: &[u8], sample: &[u8]) -> Vec<String> {
    let first = input.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let named = first.strip_prefix(MARK.as_bytes()).unwrap_or_default();
    let file = FILES.into_iter().find(|file| file.as_bytes() == named).unwrap_or(FILES[0]);
    let path = folder.join(file);
    let before = golden::read(&format!("transforms/{file}"));
    fs::write(&path, input).unwrap();
    let loaded = Catalog::load(folder);
    fs::write(&path, before).unwrap();
    match loaded {
        Ok(catalog) => check_request(&catalog, sample),
        Err(errors) => {
            assert!(!errors.problems.is_empty());
            let text = String::from_utf8_lossy(input);
            for problem in errors.problems.iter().filter(|problem| problem.file == file) {
                let Some((line, column)) = problem.line.zip(problem.column) else { continue };
                let found = text.split('\n').nth(line as usize - 1);
                let last = found.map(|line| line.chars().count() + 1);
                assert!(last.is_some_and(|last| column as usize <= last), "{problem:?}");
            }
            let messages = errors.problems.iter().map(|problem| &problem.message);
            messages.map(|message| format!("{file} {}", without_values(message))).collect()
        }
    }
}
