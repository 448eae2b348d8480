//! The promise to the integration engineer: fields are mapped without Rust, and the samples tell at
//! once whether every one of them still holds.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tieline::transform::{Catalog, ContentType, SampleOutcome};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/transforms");

/// A copy of the mappings that come with tieline, to be changed.
fn copy() -> TempDir {
    let copy = TempDir::new().unwrap();
    let mut open = vec![PathBuf::new()];
    while let Some(inside) = open.pop() {
        fs::create_dir_all(copy.path().join(&inside)).unwrap();
        for entry in fs::read_dir(Path::new(FOLDER).join(&inside)).unwrap() {
            let entry = entry.unwrap();
            let name = inside.join(entry.file_name());
            if entry.path().is_dir() {
                open.push(name);
            } else {
                fs::copy(entry.path(), copy.path().join(name)).unwrap();
            }
        }
    }
    copy
}

fn change(folder: &TempDir, file: &str, from: &str, to: &str) {
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// The samples that do not hold, with what is said about them.
fn broken(folder: &TempDir) -> Vec<(String, String)> {
    let results = Catalog::load(folder.path()).unwrap().check_samples(folder.path());
    let broken = results.into_iter().filter_map(|result| {
        let name = format!("{}/{}", result.folder, result.name);
        match result.outcome {
            SampleOutcome::Held => None,
            SampleOutcome::Differs(said) | SampleOutcome::Unusable(said) => Some((name, said)),
        }
    });
    broken.collect()
}

#[test]
fn every_sample_holds() {
    assert_eq!(broken(&copy()), []);
}

#[test]
fn a_characteristic_takes_one_line_and_one_sample() {
    let folder = copy();
    let line = "  { to = \"location/attributes/attribute[name=FEEDER]/value\", from = \
                \"servicePoint/characteristics/characteristic[characteristicType=CM-FEED]/\
                adhocCharacteristicValue\" },\n]";
    change(&folder, "service-point/mapping.toml", "\n]", &format!("\n{line}"));
    // No sample has such a characteristic yet, so all of them hold.
    assert_eq!(broken(&folder), []);
    let samples = folder.path().join("service-point/samples");
    for ending in ["xml", "expected.xml"] {
        let from = samples.join(format!("residential.{ending}"));
        fs::copy(from, samples.join(format!("feeder.{ending}"))).unwrap();
    }
    change(&folder, "service-point/samples/feeder.xml", "CM-PHASE", "CM-FEED");
    let [(name, said)] = broken(&folder).try_into().unwrap();
    assert_eq!(name, "service-point/feeder");
    assert!(said.contains("-        <name>PHASE</name>\n+        <name>FEEDER</name>"), "{said}");
    change(&folder, "service-point/samples/feeder.expected.xml", "PHASE", "FEEDER");
    assert_eq!(broken(&folder), []);
}

#[test]
fn a_new_entry_of_a_map_mends_what_it_refused() {
    let folder = copy();
    let sample = fs::read(Path::new(FOLDER).join("service-point/samples/unmapped-sp-type.xml"));
    let sample = sample.unwrap();
    let translate = || {
        let catalog = Catalog::load(folder.path()).unwrap();
        catalog.translate(&sample, &ContentType::default()).outcome
    };
    let before = translate().unwrap_err();
    assert_eq!(
        before.detail,
        "servicePoint/spType (line 19, column 13): found 'E-NEW', expected one of the values in \
         maps/sp-type.toml, or an entry for it there"
    );
    change(&folder, "maps/sp-type.toml", "[entries]", "[entries]\n\"E-NEW\" = \"NEW-SOCKET\"");
    let outgoing = String::from_utf8(translate().unwrap().outgoing).unwrap();
    assert!(outgoing.contains("<nodeType>NEW-SOCKET</nodeType>"), "{outgoing}");
}

#[test]
fn a_folder_with_mistakes_tells_all_of_them_and_is_not_used() {
    let folder = copy();
    change(&folder, "service-point/mapping.toml", "required = true", "requird = true");
    change(&folder, "item/mapping.toml", "map = \"asset-type\"", "map = \"asset-typ\"");
    change(&folder, "maps/country.toml", "\"USA\"", "\"USA \"");
    let errors = Catalog::load(folder.path()).unwrap_err();
    let told: Vec<_> = errors.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "item/mapping.toml:28:82: there is no map 'asset-typ'",
            "maps/country.toml:39:1: no value can match 'USA '",
            "service-point/mapping.toml:23:63: unknown key 'requird'",
        ]
    );
}
