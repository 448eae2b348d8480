//! What holds for every input.

use proptest::prelude::*;

use super::super::*;
use super::CATALOG;
use crate::domain::{AnswerException, Failure, FailureCode, Reply, SyncRequestId, Told};

const GOOD: &str = include_str!("../../../transforms/service-point/samples/residential.xml");

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..400)) {
        let content = ContentType::default();
        prop_assert!(CATALOG.translate(&payload, &content).outcome.is_err());
        prop_assert!(CATALOG.read_answer(&payload, &content).is_err());
    }

    #[test]
    fn xml_like_text_never_panics(
        parts in proptest::collection::vec("<|</|>|/>|&|;|#|x|=|\"|'|<!|--|<\\?|\\?>|xml|xmlns|:|\\]\\]>|<!\\[CDATA\\[| |\n|spId|é|\u{FFFE}|<spSyncRequest xmlns=\"urn:tieline:ccb:sp-sync:1\">", 0..40)
    ) {
        let payload: String = parts.concat();
        prop_assert!(CATALOG.translate(payload.as_bytes(), &ContentType::default()).outcome.is_err());
    }

    #[test]
    fn a_message_with_one_byte_changed_never_panics(at in 0..GOOD.len(), byte in any::<u8>()) {
        let mut payload = GOOD.as_bytes().to_vec();
        payload[at] = byte;
        let translated = CATALOG.translate(&payload, &ContentType::default());
        if let Err(failure) = translated.outcome {
            let placed = failure.defects.iter().all(|defect| defect.line.is_some());
            prop_assert!(placed && !failure.defects.is_empty());
        }
    }

    #[test]
    fn every_text_arrives_as_it_was_sent(text in "[^\\p{Cc} \u{FFFE}\u{FFFF}][^\\p{Cc}\u{FFFE}\u{FFFF}]{0,60}[^\\p{Cc} \u{FFFE}\u{FFFF}]") {
        let sent = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let payload = GOOD.replace("Residential electric, rear wall", &sent);
        let translated = CATALOG.translate(payload.as_bytes(), &ContentType::default());
        let outgoing = String::from_utf8(translated.outcome.unwrap().outgoing).unwrap();
        let out = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let expected = format!("<description>{out}</description>");
        prop_assert!(outgoing.contains(&expected), "{}", outgoing);
        prop_assert!(pretty_xml(outgoing.as_bytes()).contains("<description>"));
    }

    #[test]
    fn a_reply_is_always_well_formed(text in any::<String>(), category in any::<String>()) {
        let sync_request = SyncRequestId::new("85810617092033").unwrap();
        let exception = AnswerException {
            category,
            number: text.clone(),
            parameters: vec![text.clone()],
            text: text.clone(),
        };
        for told in [
            Told::Discarded { reason: text.clone() },
            Told::Parked(Failure::new(FailureCode::MalformedXml, text.clone())),
            Told::Rejected(vec![exception.clone(), exception]),
        ] {
            let reply = CATALOG.write_reply(&Reply { sync_request: sync_request.clone(), told });
            let laid_out = pretty_xml(&reply);
            prop_assert!(laid_out.contains("\n  <hasError>true</hasError>\n"), "{}", laid_out);
        }
    }
}
