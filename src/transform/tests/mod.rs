//! The promises of the module, on the mappings that come with the program.

mod bad_input;
mod load;
mod properties;
mod rules;

use std::path::Path;
use std::sync::LazyLock;

use super::*;
use crate::domain::{Reply, SyncRequestId, Told, Verdict};

/// The mappings that come with the program, read once for all tests.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::built_in().unwrap());

#[test]
fn a_service_point_becomes_an_asset_location_and_its_answer_a_reply() {
    let catalog = Catalog::built_in().unwrap();
    let content = ContentType { content_type: Some("application/xml"), content_encoding: None };
    let request = include_bytes!("../../../transforms/service-point/samples/residential.xml");
    let translated = catalog.translate(request, &content);
    assert_eq!(translated.sync_request, SyncRequestId::new("85810617092033").ok());
    let outgoing = String::from_utf8(translated.outcome.unwrap().outgoing).unwrap();
    assert!(outgoing.contains("<timeZone>America/New_York</timeZone>"), "{outgoing}");
    let answer = include_bytes!("../../../transforms/answer/samples/positive.xml");
    let answer = catalog.read_answer(answer, &content).unwrap();
    assert_eq!(answer.verdict, Verdict::Positive);
    let sync_request = answer.reference.sync_request.unwrap();
    let reply = catalog.write_reply(&Reply { sync_request, told: Told::Applied(answer.keys) });
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.contains("<externalPk1>000154730872</externalPk1>"), "{reply}");
}

#[test]
fn every_sample_that_comes_with_the_program_holds() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/transforms"));
    let catalog = Catalog::load(folder).unwrap();
    let results = catalog.check_samples(folder);
    assert!(results.len() >= 25, "only {} samples were found", results.len());
    for result in results {
        assert_eq!(result.outcome, SampleOutcome::Held, "{}/{}", result.folder, result.name);
    }
    assert!(catalog.warnings().is_empty(), "{:?}", catalog.warnings());
}

#[test]
fn the_program_holds_the_mappings_that_stand_in_the_folder() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/transforms"));
    let (built_in, loaded) = (Catalog::built_in().unwrap(), Catalog::load(folder).unwrap());
    assert_eq!(built_in.digest(), loaded.digest());
}
