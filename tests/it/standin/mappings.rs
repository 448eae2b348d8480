//! What the stand-in of billing sends, by the mappings that come with tieline: what is meant to be
//! good translates, and what is meant to be broken fails as it was meant to.

use tieline::domain::FailureCode;
use tieline::standin::plan::{Expectation, Mix, Plan};
use tieline::transform::{Catalog, ContentType};

#[test]
fn every_planned_request_fares_as_expected() {
    let catalog = Catalog::built_in().unwrap();
    let faults = Mix { malformed: 0.2, unmapped: 0.1, missing: 0.1, too_long: 0.1, ..Mix::GOOD };
    let mix = Mix { newer: 0.1, items: 0.3, encodings: 0.1, ..faults };
    for planned in Plan::new(3, 1_000, mix) {
        let translated = catalog.translate(&planned.payload, &ContentType::default());
        let code = translated.outcome.as_ref().err().map(|failure| failure.code);
        let (expected, told): (Option<FailureCode>, Option<bool>) = match planned.expectation {
            Expectation::Delivered => (None, Some(true)),
            Expectation::Parked(code) => (Some(code), Some(true)),
            Expectation::ParkedPerhapsTold(code) => (Some(code), None),
            Expectation::ParkedUntold(code) => (Some(code), Some(false)),
            Expectation::Nothing => continue,
        };
        let text = String::from_utf8_lossy(&planned.payload);
        assert_eq!(code, expected, "{:?} {text}", translated.outcome);
        let named = translated.sync_request.is_some();
        assert!(told.is_none_or(|told| told == named), "{text}");
        if let Ok(translation) = &translated.outcome {
            let rev = format!(", rev {}", planned.revision);
            assert!(String::from_utf8_lossy(&translation.outgoing).contains(&rev), "{text}");
            assert_eq!(translation.passes, 0, "{text}");
        }
    }
}
