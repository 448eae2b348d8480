//! Every kind of bad input that is known, with the code that it must get.

use super::super::*;
use super::CATALOG;
use crate::domain::{FailureCode, SyncRequestId};

const GOOD: &str = include_str!("../../../transforms/service-point/samples/residential.xml");

fn code(payload: impl AsRef<[u8]>) -> Option<FailureCode> {
    code_with(payload, &ContentType::default())
}

fn code_with(payload: impl AsRef<[u8]>, content: &ContentType<'_>) -> Option<FailureCode> {
    CATALOG.translate(payload.as_ref(), content).outcome.err().map(|failure| failure.code)
}

/// The good message with one place changed.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn check(rows: &[(&str, String, Option<FailureCode>)]) {
    for (name, payload, expected) in rows {
        let translated = CATALOG.translate(payload.as_bytes(), &ContentType::default());
        let failure = translated.outcome.err();
        let found = failure.as_ref().map(|failure| failure.code);
        assert_eq!(found, *expected, "{name}: {failure:?}");
    }
}

fn numbered(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect::<Vec<_>>().concat()
}

/// The namespace declaration of the good message, to put things in front of.
const ROOT: &str = "<spSyncRequest xmlns";

#[test]
fn document_types_and_entities_are_refused() {
    use FailureCode::ForbiddenXml as Forbidden;
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]>";
    let external = "<!DOCTYPE x SYSTEM \"http://127.0.0.1/x.dtd\">";
    let parameter = "<!DOCTYPE x [<!ENTITY % p SYSTEM \"file:///etc/passwd\"> %p;]>";
    let in_front = |dtd: &str| with(ROOT, &format!("{dtd}{ROOT}"));
    check(&[
        ("internal", in_front("<!DOCTYPE x [<!ELEMENT x ANY>]>"), Some(Forbidden)),
        ("external", in_front(external), Some(Forbidden)),
        ("parameter entity", in_front(parameter), Some(Forbidden)),
        ("laughs", in_front(laughs), Some(Forbidden)),
        ("no end", format!("<!DOCTYPE x [{}", "<!ENTITY".repeat(10)), Some(Forbidden)),
        ("lower case", in_front("<!doctype html>"), Some(Forbidden)),
        ("undefined entity", with("San Francisco", "San&nbsp;Francisco"), Some(Forbidden)),
        ("in an attribute", with("<city>", "<city x=\"&nbsp;\">"), Some(Forbidden)),
        ("where nobody reads", with("<bo>", "<bo>&lol;"), Some(Forbidden)),
        ("XML 1.1", with("version=\"1.0\"", "version=\"1.1\""), Some(Forbidden)),
        ("standalone", with("\"UTF-8\"?>", "\"UTF-8\" standalone=\"no\"?>"), None),
        ("instruction", with(ROOT, &format!("<?xml-stylesheet href=\"x\"?>{ROOT}")), None),
    ]);
}

#[test]
fn whatever_exceeds_a_limit_is_refused() {
    use FailureCode::TooLarge;
    let attributes = numbered(800_000, |n| format!(" a{n}=\"\""));
    let some = numbered(65, |n| format!(" a{n}=\"\""));
    let namespaces = numbered(40, |n| format!(" xmlns:n{n}=\"u\""));
    let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    let siblings = "<a/>".repeat(100_001);
    check(&[
        ("unclosed", with("<bo>", &"<a>".repeat(30_000)), Some(TooLarge)),
        ("deep", with("<bo>", &format!("{}<bo>", deep(1_000_000))), Some(TooLarge)),
        ("just deep enough", with("<bo>", &format!("{}<bo>", deep(62))), None),
        ("one too deep", with("<bo>", &format!("{}<bo>", deep(63))), Some(TooLarge)),
        ("many attributes", with("<bo>", &format!("<bo{attributes}>")), Some(TooLarge)),
        ("attributes", with("<bo>", &format!("<bo{some}>")), Some(TooLarge)),
        ("namespaces", with("<bo>", &format!("<bo{namespaces}>")), Some(TooLarge)),
        (
            "long attribute",
            with("<bo>", &format!("<bo a=\"{}\">", "x".repeat(5 << 20))),
            Some(TooLarge),
        ),
        ("long text", with("<bo>", &format!("<bo>{}", "x".repeat(7 << 20))), Some(TooLarge)),
        (
            "long text in parts",
            with("<bo>", &format!("<bo>{}", "x&amp;".repeat(500_000))),
            Some(TooLarge),
        ),
        ("siblings", with("<bo>", &format!("{siblings}<bo>")), Some(TooLarge)),
        ("long message", with("<bo>", &format!("{}<bo>", " ".repeat(9 << 20))), Some(TooLarge)),
    ]);
}

#[test]
fn malformed_documents_are_refused_and_never_recovered() {
    use FailureCode::MalformedXml as Malformed;
    let after = |tail: &str| format!("{GOOD}{tail}");
    check(&[
        ("cut off in text", GOOD[..1400].to_owned(), Some(Malformed)),
        (
            "cut off in a tag",
            GOOD[..GOOD.find("<premiseId").unwrap() + 4].to_owned(),
            Some(Malformed),
        ),
        ("cut off in a comment", after("<!-- x"), Some(Malformed)),
        ("two roots", after("<a/>"), Some(Malformed)),
        ("text after the root", after("x"), Some(Malformed)),
        ("reference after the root", after("&#32;"), Some(Malformed)),
        ("CDATA after the root", after("<![CDATA[ ]]>"), Some(Malformed)),
        ("text in front", format!("x{GOOD}"), Some(Malformed)),
        ("two byte order marks", format!("\u{FEFF}\u{FEFF}{GOOD}"), Some(Malformed)),
        ("space in front of the declaration", format!(" {GOOD}"), Some(Malformed)),
        ("second declaration", after("<?xml version=\"1.0\"?>"), Some(Malformed)),
        ("mismatched", with("</bo>", "</bo2>"), Some(Malformed)),
        ("an end too many", after("</a>"), Some(Malformed)),
        ("NUL", with("<bo>", "<bo>\0"), Some(Malformed)),
        ("control", with("<bo>", "<bo>\u{1}"), Some(Malformed)),
        ("control by number", with("<bo>", "<bo>&#1;"), Some(Malformed)),
        ("NUL by number", with("<bo>", "<bo>&#0;"), Some(Malformed)),
        ("surrogate by number", with("<bo>", "<bo>&#xD800;"), Some(Malformed)),
        ("signed number", with("<bo>", "<bo>&#+65;"), Some(Malformed)),
        ("no character", with("<bo>", "<bo>\u{FFFE}"), Some(Malformed)),
        ("control in a comment", with("<bo>", "<!--\u{2}--><bo>"), Some(Malformed)),
        ("hyphens in a comment", with("<bo>", "<!-- a -- b --><bo>"), Some(Malformed)),
        ("end of CDATA in text", with("<bo>", "<bo>]]>"), Some(Malformed)),
        ("bare ampersand", with("<bo>", "<bo>a & b"), Some(Malformed)),
        ("duplicate attribute", with("<bo>", "<bo a=\"1\" a=\"1\">"), Some(Malformed)),
        (
            "duplicate by namespace",
            with("<bo>", "<bo xmlns:p=\"u\" xmlns:q=\"u\" p:a=\"\" q:a=\"\">"),
            Some(Malformed),
        ),
        ("no quotes", with("<bo>", "<bo a=1>"), Some(Malformed)),
        ("no value", with("<bo>", "<bo a>"), Some(Malformed)),
        ("no space between", with("<bo>", "<bo a=\"1\"b=\"1\">"), Some(Malformed)),
        ("less-than in an attribute", with("<bo>", "<bo a=\"<\">"), Some(Malformed)),
        ("undeclared prefix", with("<bo>", "<p:bo/><bo>"), Some(Malformed)),
        (
            "undeclared prefix of an attribute",
            with("<bo>", "<bo p:a=\"\" b=\"\">"),
            Some(Malformed),
        ),
        ("a digit first", with("<bo>", "<1a/><bo>"), Some(Malformed)),
        ("no name", with("<bo>", "< a/><bo>"), Some(Malformed)),
        ("empty", String::new(), Some(Malformed)),
        ("white space", " \n\t ".to_owned(), Some(Malformed)),
        ("only a comment", "<!-- x -->".to_owned(), Some(Malformed)),
        ("nobody's, and malformed", "<a></a><b></b>".to_owned(), Some(Malformed)),
    ]);
}

#[test]
fn bytes_must_be_in_the_encoding_they_claim() {
    use FailureCode::BadEncoding as Encoding;
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        let units = text.encode_utf16();
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let declared = |name: &str| with("encoding=\"UTF-8\"", &format!("encoding=\"{name}\""));
    let place = GOOD.find("Residential").unwrap();
    let put = |bytes: &[u8]| [&GOOD.as_bytes()[..place], bytes, &GOOD.as_bytes()[place..]].concat();
    let latin = |name: &str| {
        let text = declared(name);
        let place = text.find("Residential").unwrap();
        [&text.as_bytes()[..place], b"caf\xE9", &text.as_bytes()[place..]].concat()
    };
    let wide = declared("UTF-16");
    let rows: Vec<(&str, Vec<u8>, Option<FailureCode>)> = vec![
        ("invalid", put(b"\xC3("), Some(Encoding)),
        ("overlong", put(b"\xC0\xAF"), Some(Encoding)),
        ("lone surrogate", put(b"\xED\xA0\x80"), Some(Encoding)),
        ("Latin-1 that says UTF-8", put(b"caf\xE9"), Some(Encoding)),
        ("ISO-8859-1", latin("ISO-8859-1"), None),
        ("windows-1252", latin("windows-1252"), None),
        ("not ASCII", latin("US-ASCII"), Some(Encoding)),
        ("ASCII", declared("US-ASCII").into(), None),
        ("says UTF-16 and is not", wide.clone().into(), Some(Encoding)),
        ("unknown", declared("x-nothing").into(), Some(Encoding)),
        ("UTF-7", declared("UTF-7").into(), Some(Encoding)),
        ("EBCDIC", declared("IBM037").into(), Some(Encoding)),
        ("EBCDIC bytes", b"\x4C\x6F\xA7\x94\x93".to_vec(), Some(Encoding)),
        ("mark UTF-8", [b"\xEF\xBB\xBF", GOOD.as_bytes()].concat(), None),
        (
            "mark UTF-8, says Latin-1",
            [b"\xEF\xBB\xBF", declared("ISO-8859-1").as_bytes()].concat(),
            Some(Encoding),
        ),
        ("mark UTF-16 LE", [&b"\xFF\xFE"[..], &utf16(&wide, false)].concat(), None),
        ("mark UTF-16 BE", [&b"\xFE\xFF"[..], &utf16(&wide, true)].concat(), None),
        ("UTF-16 by declaration", utf16(&wide, false), None),
        (
            "mark UTF-16, says UTF-8",
            [&b"\xFF\xFE"[..], &utf16(GOOD, false)].concat(),
            Some(Encoding),
        ),
        (
            "UTF-16 cut in a unit",
            [&b"\xFF\xFE"[..], &utf16(&wide, false), b"x"].concat(),
            Some(Encoding),
        ),
        (
            "lone surrogate UTF-16",
            [&b"\xFF\xFE"[..], &utf16(&wide, false), b"\x00\xD8"].concat(),
            Some(Encoding),
        ),
        ("UTF-32", b"\xFF\xFE\0\0<\0\0\0".to_vec(), Some(Encoding)),
        ("nothing but 0xFF", vec![0xFF; 1 << 20], Some(Encoding)),
    ];
    for (name, payload, expected) in rows {
        assert_eq!(code(payload), expected, "{name}");
    }
}

#[test]
fn the_properties_must_agree_with_the_bytes() {
    use FailureCode::{BadEncoding, NotXml};
    let of = |content_type, content_encoding| ContentType { content_type, content_encoding };
    let rows = [
        (Some("application/xml"), None, None),
        (Some("text/xml; charset=utf-8"), None, None),
        (Some("application/vnd.oracle+xml"), None, None),
        (Some("text/plain"), None, None),
        (Some("application/octet-stream"), Some("identity"), None),
        (Some("application/json"), None, Some(NotXml)),
        (Some("text/html"), None, Some(NotXml)),
        (None, Some("gzip"), Some(NotXml)),
        // The text is the same either way, as long as it is ASCII.
        (Some("text/xml; charset=\"ISO-8859-1\""), None, None),
        (Some("text/xml; charset=UTF-16"), None, Some(BadEncoding)),
        (Some("text/xml; charset=nonsense"), None, Some(BadEncoding)),
    ];
    for (content_type, content_encoding, expected) in rows {
        let found = code_with(GOOD, &of(content_type, content_encoding));
        assert_eq!(found, expected, "{content_type:?} {content_encoding:?}");
    }
    let accented = with("Residential", "Résidence");
    let latin = of(Some("text/xml; charset=ISO-8859-1"), None);
    assert_eq!(code_with(accented, &latin), Some(BadEncoding));
    assert_eq!(code_with("{}", &of(Some("text/plain"), None)), Some(NotXml));
}

#[test]
fn what_is_no_xml_is_said_to_be_none() {
    use FailureCode::{NotXml, UnknownMessage};
    for payload in [&b"{\"spId\": 1}"[..], b"[1]", b"\x1F\x8B\x08\0\0", b"<html><body/></html>"] {
        assert_eq!(code(payload), Some(NotXml), "{}", String::from_utf8_lossy(payload));
    }
    let namespace = "urn:tieline:ccb:sp-sync:1";
    check(&[
        ("other root", format!("<other xmlns=\"{namespace}\"/>"), Some(UnknownMessage)),
        ("other namespace", with(namespace, "urn:other"), Some(UnknownMessage)),
        ("no namespace", with(&format!(" xmlns=\"{namespace}\""), ""), Some(UnknownMessage)),
    ]);
}

#[test]
fn names_match_by_namespace_and_not_by_prefix() {
    use FailureCode::{DuplicateField, MissingField};
    let namespace = "urn:tieline:ccb:sp-sync:1";
    let foreign = with("<spId>", "<o:spId xmlns:o=\"urn:o\">1</o:spId><spId>");
    let rebound = with(
        "<spType>E-RES</spType>",
        &format!(
            "<a:spType xmlns:a=\"urn:o\"><a:spType xmlns:a=\"{namespace}\">E-IND</a:spType></a:spType><a:spType xmlns:a=\"{namespace}\">E-RES</a:spType>"
        ),
    );
    check(&[
        ("foreign", foreign, None),
        ("rebound", rebound, None),
        ("default namespace undone", with("<spType>", "<spType xmlns=\"\">"), Some(MissingField)),
        ("the same twice", with("<spId>", "<spId>1</spId><spId>"), Some(DuplicateField)),
        (
            "the same group twice",
            with("</servicePoint>", "</servicePoint><servicePoint><spId>1</spId></servicePoint>"),
            Some(DuplicateField),
        ),
    ]);
}

#[test]
fn identities_are_clean_or_refused() {
    use FailureCode::{BadValue, MissingField};
    let id = "85810617092033";
    let long = "9".repeat(10_000);
    let rows = [
        ("", MissingField),
        (" \n ", MissingField),
        (long.as_str(), BadValue),
        ("858\n106", BadValue),
        ("858\u{A0}", BadValue),
        ("858\u{202E}", BadValue),
        ("८५८", BadValue),
        ("858 106", BadValue),
    ];
    for (text, expected) in rows {
        assert_eq!(code(with(id, text)), Some(expected), "{text:?}");
    }
    let shown = CATALOG.translate(with(id, &long).as_bytes(), &ContentType::default());
    let value = shown.outcome.unwrap_err().defects[0].value.clone().unwrap();
    assert_eq!(value.chars().count(), 81, "the value is cut");
    for text in [" 85810617092033\t", "8581<!-- x -->0617092033", "8581<![CDATA[0617092033]]>"] {
        let payload = with(id, text);
        let translated = CATALOG.translate(payload.as_bytes(), &ContentType::default());
        assert_eq!(translated.sync_request, SyncRequestId::new(id).ok(), "{text}");
        assert!(translated.outcome.is_ok(), "{text}");
    }
}

#[test]
fn who_it_is_about_is_known_as_far_as_the_message_can_be_read() {
    let id = SyncRequestId::new("85810617092033").ok();
    let read = |payload: &[u8]| CATALOG.translate(payload, &ContentType::default());
    let broken = read(with("<spType>", "<spType").as_bytes());
    assert_eq!((broken.sync_request.clone(), broken.revision.version), (id.clone(), Some(3)));
    assert_eq!(broken.service_point.unwrap().as_str(), "3996166619");
    // An identity that may be cut off is none.
    let place = GOOD.find("7092033").unwrap();
    assert_eq!(read(&GOOD.as_bytes()[..place]).sync_request, None);
    let place = GOOD.find("Residential").unwrap();
    let bad_byte = [&GOOD.as_bytes()[..place], b"\xFF", &GOOD.as_bytes()[place..]].concat();
    let bad_byte = read(&bad_byte);
    assert_eq!(bad_byte.sync_request, id);
    let defect = &bad_byte.outcome.unwrap_err().defects[0];
    assert_eq!((defect.line, defect.column), (Some(21), Some(18)));
}
