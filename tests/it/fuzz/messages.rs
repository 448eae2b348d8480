//! Requests and answers: read to the end or refused at a place, and what is written is XML.

use std::sync::LazyLock;

use tieline::domain::{Defect, Failure, FailureCode, Reply, SyncRequestId, Told, Verdict};
use tieline::transform::{Catalog, ContentType, pretty_xml};

use super::engine::run;
use super::target::Target;
use crate::inputs;
use crate::support::Element;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::built_in().unwrap());

#[test]
fn requests() {
    let target = Target {
        name: "requests",
        samples: &["transforms/service-point/samples", "transforms/item/samples"],
        more: inputs::small_bodies,
        tokens: &[
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "<?x?>",
            "<!DOCTYPE a [",
            "&amp;",
            "&#x41;",
            "&#0;",
            "<spId>",
            "</spId>",
            "<version>",
            "D1IT",
            "xmlns=\"\"",
            "xmlns:p=\"urn:x\" p:a=\"\"",
            "encoding=\"UTF-16\"",
            "ISO-8859-1",
            "<characteristic>",
            "CM-SVCAR",
            "9999-12-31",
            "2025-03-14T02:11:09.5+14:00",
            "-90",
            "<geographicLocation>",
            "urn:tieline:ccb:sp-sync:1",
        ],
        longest: 32 << 10,
        mutations: 2_000,
    };
    run(&target, |input| check_request(&CATALOG, input));
}

#[test]
fn answers() {
    let target = Target {
        name: "answers",
        samples: &["transforms/answer/samples"],
        more: inputs::small_answers,
        tokens: &[
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "&amp;",
            "&#x41;",
            "<items>",
            "</items>",
            "true",
            "SYNCED",
            "<boStatus>",
            "<hasError>",
            "<exceptionInfo>",
            "<externalReferenceId>",
            "<productionPkValue2>",
            "urn:tieline:wam:sync-response:1",
            "<messageParameterValue>",
        ],
        longest: 32 << 10,
        mutations: 2_000,
    };
    run(&target, check_answer);
}

/// Translates an input, and tells what kind of end that was.
pub(super) fn check_request(catalog: &Catalog, input: &[u8]) -> Vec<String> {
    let content = ContentType::default();
    let translated = catalog.translate(input, &content);
    catalog.recognise(input, &content);
    pretty_xml(input);
    match translated.outcome {
        Ok(translation) => {
            assert!(translated.sync_request.is_some() && translated.service_point.is_some());
            assert_xml(catalog, &translation.outgoing);
            vec![format!("{:?} with {} passes", translation.kind, translation.passes)]
        }
        Err(failure) => {
            if let Some(sync_request) = translated.sync_request {
                let told = Told::Parked(failure.clone());
                assert_reply(catalog, &Reply { sync_request, told });
            }
            kinds_of(&failure, input)
        }
    }
}

fn check_answer(input: &[u8]) -> Vec<String> {
    match CATALOG.read_answer(input, &ContentType::default()) {
        Ok(answer) => {
            let kind = format!("{:?} {}", answer.verdict, answer.exceptions.len().min(5));
            let told = match answer.verdict {
                Verdict::Positive => {
                    assert!(!answer.keys.is_empty() && answer.exceptions.is_empty());
                    Told::Applied(answer.keys)
                }
                Verdict::Negative => Told::Rejected(answer.exceptions),
            };
            let sync_request = SyncRequestId::new("85810617092033").unwrap();
            assert_reply(&CATALOG, &Reply { sync_request, told });
            vec![kind]
        }
        Err(failure) => {
            assert_eq!(failure.code, FailureCode::AnswerUnreadable);
            kinds_of(&failure, input)
        }
    }
}

fn assert_reply(catalog: &Catalog, reply: &Reply) {
    let written = catalog.write_reply(reply);
    let read = assert_xml(catalog, &written);
    assert_eq!(read.at("syncRequestId"), reply.sync_request.as_str());
}

/// What is sent is XML, to others and to us: the strict reader finds nothing in it to complain of
/// but that nobody maps it.
fn assert_xml(catalog: &Catalog, sent: &[u8]) -> Element {
    let read = Element::read(std::str::from_utf8(sent).unwrap());
    let again = catalog.translate(sent, &ContentType::default());
    let complaint = again.outcome.unwrap_err();
    assert_eq!(complaint.code, FailureCode::UnknownMessage, "{complaint:?}");
    read
}

/// The kinds of a failure's defects, which must all be in the input.
fn kinds_of(failure: &Failure, input: &[u8]) -> Vec<String> {
    assert!(!failure.defects.is_empty() && !failure.detail.is_empty(), "{failure:?}");
    let mut kinds = vec![format!("{} defects", failure.defects.len().ilog2())];
    for defect in &failure.defects {
        assert_inside(defect, input);
        let (code, rule, path) = (defect.code, &defect.rule, &defect.path);
        kinds.push(format!("{code} {rule:?} {path:?} {}", without_values(&defect.expected)));
    }
    kinds
}

/// A line and a column that an editor could go to.
fn assert_inside(defect: &Defect, input: &[u8]) {
    let (line, column) = (defect.line.unwrap() as usize, defect.column.unwrap() as usize);
    assert!(line > 0 && column > 0, "{defect:?}");
    let text = std::str::from_utf8(input).ok();
    // Bytes that are UTF-8 by chance may say that they are something else.
    if let Some(text) = text.filter(|text| !text.contains("encoding") && !text.contains('\0')) {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        // The last place is right behind the last character.
        let found = text.split('\n').nth(line - 1).map(|line| line.chars().count() + 1);
        assert!(found.is_some_and(|last| column <= last), "{defect:?}");
    } else {
        let lines = memchr::memchr_iter(b'\n', input).count() + 1;
        assert!(line <= lines && column <= input.len() + 1, "{defect:?}");
    }
}

/// A sentence without what it quotes and counts.
pub(super) fn without_values(sentence: &str) -> String {
    let outside = sentence.split(['\'', '`', '"']).step_by(2);
    outside.flat_map(|part| part.chars().filter(|c| !c.is_ascii_digit())).collect()
}
