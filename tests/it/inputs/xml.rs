//! Bad bodies: what hides in XML, what is malformed, in another encoding, or says what cannot be.

use std::net::TcpListener;

use super::requests::hold;
use super::table::Place::{At, Before, End, Field, Start};
use super::table::{Row, accepted, and, bytes, cut, insert, made, put, says, told, untold};
use crate::support::{Site, request};

/// The root's opening, to put things in front of.
const ROOT: &str = "<spSyncRequest";
/// An element that no rule reads, behind the ids.
const IDLE: &str = "<bo>";
/// What the good message says about the service point.
const SAID: &str = "Residential electric, rear wall";
/// How many bytes a small body has at most.
pub(super) const SMALL: usize = 16 * 1024;

#[test]
fn every_bad_body_has_its_end_and_the_next_message_goes_through() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let secret = site.path("secret.txt");
    std::fs::write(&secret, "the secret").unwrap();
    // Whoever resolved an external entity would connect here.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!("http://{}/x", listener.local_addr().unwrap());
    let rows = rows(&format!("file://{}", secret.display()), &http);
    hold(&site, &bridge, &rows);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody follows an address in a message");
    let told = site.cli(&["errors", "list", "--limit", "5000", "--json"]).ended(0);
    assert!(!told.out.contains("the secret"), "nobody opens a file that a message names");
}

/// Every row; `file` and `http` are what an entity may name.
fn rows(file: &str, http: &str) -> Vec<Row> {
    let mut rows = document_types(file, http);
    rows.extend(references());
    rows.extend(malformed());
    rows.extend(cut_off());
    rows.extend(encodings());
    rows.extend(text());
    rows.extend(namespaces());
    rows.extend(identities());
    rows.extend(values());
    rows.extend(foreign());
    rows
}

/// The bodies of every row, as they are made of a good message: others begin with them.
pub(crate) fn small_bodies() -> Vec<Vec<u8>> {
    let good = request("S1", "P1").text();
    let bodies = rows("file:///etc/hostname", "http://127.0.0.1:9/x");
    let bodies = bodies.iter().map(|row| row.bytes(&good));
    bodies.filter(|body| body.len() <= SMALL).collect()
}

fn document_types(file: &str, http: &str) -> Vec<Row> {
    let typed = |subset: &str| {
        let subset = subset.replace("FILE", file).replace("HTTP", http);
        let entity = format!("<!DOCTYPE spSyncRequest {subset}>{ROOT}");
        made(move |good| good.replacen(ROOT, &entity, 1).replacen(SAID, "&e;", 1).into_bytes())
    };
    let rows = [
        ("a document type", "[<!ELEMENT x ANY>]"),
        ("an external one", "SYSTEM \"HTTP\""),
        ("a public one", "PUBLIC \"-//X\" \"HTTP\""),
        ("a parameter entity", "[<!ENTITY % p SYSTEM \"HTTP\"> %p;]"),
        ("an entity from a file", "[<!ENTITY e SYSTEM \"FILE\">]"),
        ("an entity from the network", "[<!ENTITY e SYSTEM \"HTTP\">]"),
        ("a recursive entity", "[<!ENTITY e \"&f;\"><!ENTITY f \"&e;\">]"),
    ];
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|(name, subset)| Row::new(name, typed(subset), untold("TL1002", At("<!DOCTYPE"))))
        .collect();
    let laughs: Vec<_> = (1..10)
        .map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10)))
        .collect();
    let laughs = format!("[<!ENTITY e0 \"ha\">{}<!ENTITY e \"&e9;\">]", laughs.concat());
    let quadratic = format!("[<!ENTITY a \"{}\"><!ENTITY e \"", "a".repeat(50_000));
    let quadratic = format!("{quadratic}{}\">]", "&a;".repeat(50_000));
    for (name, subset) in [("a billion laughs", laughs), ("a quadratic blow-up", quadratic)] {
        rows.push(Row::new(name, typed(&subset), untold("TL1002", At("<!DOCTYPE"))));
    }
    rows.push(Row::new(
        "a document type in lower case",
        insert(ROOT, "<!doctype html>"),
        untold("TL1002", At("<!doctype")),
    ));
    rows
}

fn references() -> Vec<Row> {
    vec![
        Row::new("an entity of HTML", put(SAID, "a&nbsp;b"), told("TL1002", At("&nbsp;"))),
        Row::new(
            "an entity in an attribute",
            put(IDLE, "<bo x=\"&nbsp;\">"),
            told("TL1002", At("&nbsp;")),
        ),
        Row::new("an entity where nobody reads", put(IDLE, "<bo>&e;"), told("TL1002", At("&e;"))),
        Row::new("XML 1.1", put("version=\"1.0\"", "version=\"1.1\""), untold("TL1002", At("1.1"))),
        Row::new("standalone", put("\"UTF-8\"?>", "\"UTF-8\" standalone=\"no\"?>"), accepted()),
        Row::new("a style sheet", insert(ROOT, "<?xml-stylesheet href=\"x\"?>"), accepted()),
        Row::new(
            "the five that XML has",
            put(SAID, "&lt;&gt;&amp;&quot;&apos;&#x1F600;"),
            says("location/description", "<>&\"'\u{1F600}"),
        ),
    ]
}

fn malformed() -> Vec<Row> {
    let at = |name, to: &'static str, place: &'static str| {
        Row::new(name, put(IDLE, to), told("TL1001", At(place)))
    };
    vec![
        Row::new("two roots", and("<a/>"), told("TL1001", At("<a/>"))),
        Row::new("text behind the root", and("sic"), told("TL1001", At("sic"))),
        Row::new("text in front", insert(ROOT, "sic"), untold("TL1001", At("sic"))),
        Row::new("another end", put("</bo>", "</bo2>"), told("TL1001", At("</bo2>"))),
        Row::new("an end too many", and("</a>"), told("TL1001", At("</a>"))),
        Row::new(
            "a second declaration",
            and("<?xml version=\"1.0\" ?>"),
            told("TL1001", At("<?xml version=\"1.0\" ?>")),
        ),
        at("NUL", "<bo>\0", "\0"),
        at("a control character", "<bo>\u{1}", "\u{1}"),
        at("a control character by number", "<bo>&#1;", "&#1;"),
        at("NUL by number", "<bo>&#0;", "&#0;"),
        at("half a character by number", "<bo>&#xD800;", "&#xD800;"),
        at("U+FFFE", "<bo>\u{FFFE}", "\u{FFFE}"),
        at("two hyphens in a comment", "<!-- a -- b --><bo>", "-- b"),
        at("the end of a section in text", "<bo>]]>", "]]>"),
        at("a bare ampersand", "<bo>a & b", "& b"),
        at("an attribute twice", "<bo a=\"1\" a=\"2\">", "2\">"),
        at("an attribute without quotes", "<bo a=1>", "1>"),
        at("less-than in an attribute", "<bo a=\"<\">", "<\">"),
    ]
}

fn cut_off() -> Vec<Row> {
    let id_inside: &str = "</syncRequestId>";
    vec![
        Row::new("cut off between tags", cut("<division>"), told("TL1001", End)),
        Row::new("cut off in a text", cut("electric, rear"), told("TL1001", End)),
        Row::new("cut off in a tag", cut("division>"), told("TL1001", Before("<division>"))),
        Row::new("cut off in the id", cut(id_inside), untold("TL1001", End)),
        Row::new("cut off in a comment", and("<!-- x"), told("TL1001", At("<!-- x"))),
        Row::new("only a declaration", cut(ROOT), untold("TL1001", End)),
    ]
}

fn encodings() -> Vec<Row> {
    let declared = |name: &'static str, inside: &'static [u8]| {
        made(move |good| {
            let text = good.replacen("UTF-8", name, 1);
            let at = text.find(SAID).unwrap();
            [&text.as_bytes()[..at], inside, &text.as_bytes()[at..]].concat()
        })
    };
    let wide = |order: fn(u16) -> [u8; 2], mark: bool, name: &'static str| {
        made(move |good| {
            let text = good.replacen("UTF-8", name, 1).replacen(SAID, "Größe \u{1F600}", 1);
            let text = if mark { format!("\u{FEFF}{text}") } else { text };
            text.encode_utf16().flat_map(order).collect()
        })
    };
    let (little, big) = (u16::to_le_bytes, u16::to_be_bytes);
    let size = || says("location/description", "Größe \u{1F600}");
    let before = |name, inside: &'static [u8]| {
        Row::new(name, insert(SAID, inside), told("TL1004", Before(SAID)))
    };
    let refused = |name, label| Row::new(name, declared(label, b""), untold("TL1004", Start));
    vec![
        before("bytes that are no UTF-8", b"\xC3("),
        before("an overlong character", b"\xC0\xAF"),
        before("half a surrogate pair", b"\xED\xA0\x80"),
        before("ISO-8859-1 that says UTF-8", b"\xE9"),
        Row::new(
            "ISO-8859-1",
            declared("ISO-8859-1", b"caf\xE9 "),
            says("location/description", &format!("café {SAID}")),
        ),
        Row::new(
            "windows-1252",
            declared("windows-1252", b"\x80 "),
            says("location/description", &format!("€ {SAID}")),
        ),
        Row::new("UTF-8 with a mark", made(|good| format!("\u{FEFF}{good}").into()), accepted()),
        Row::new("UTF-16, little end first", wide(little, true, "UTF-16"), size()),
        Row::new("UTF-16, big end first", wide(big, true, "UTF-16"), size()),
        Row::new("UTF-16 by declaration", wide(little, false, "UTF-16"), size()),
        Row::new("UTF-16 that says UTF-8", wide(big, true, "UTF-8"), untold("TL1004", Start)),
        refused("UTF-8 that says UTF-16", "UTF-16"),
        refused("an encoding that nobody has", "x-nothing"),
        refused("UTF-7", "UTF-7"),
        refused("EBCDIC by name", "IBM037"),
        Row::new("EBCDIC by its bytes", bytes(*b"\x4C\x6F\xA7\x94\x93"), untold("TL1004", Start)),
        Row::new("UTF-32", bytes(*b"\xFF\xFE\0\0<\0\0\0"), untold("TL1004", Start)),
        Row::new("nothing but 0xFF", bytes(vec![0xFF; 1 << 20]), untold("TL1004", Start)),
    ]
}

fn text() -> Vec<Row> {
    let say = |name, text: &'static str, said: &'static str| {
        Row::new(name, put(SAID, text), says("location/description", said))
    };
    vec![
        say("a script", "<![CDATA[<script>&amp;]]>", "<script>&amp;"),
        say("a section's end in sections", "<![CDATA[a]]]]><![CDATA[>b]]>", "a]]>b"),
        say("many scripts", "玄関の左側 <![CDATA[<b>&]]>", "玄関の左側 <b>&"),
        say("right to left", "a\u{202E}b", "a\u{202E}b"),
        Row::new(
            "a comment in the id",
            put("</syncRequestId>", "<!-- x --></syncRequestId>"),
            accepted(),
        ),
        Row::new(
            "a section in the id",
            made(|good| {
                let good = good.replacen("<syncRequestId>", "<syncRequestId><![CDATA[", 1);
                good.replacen("</syncRequestId>", "]]></syncRequestId>", 1).into_bytes()
            }),
            accepted(),
        ),
    ]
}

fn namespaces() -> Vec<Row> {
    const HOME: &str = "urn:tieline:ccb:sp-sync:1";
    let foreign = "<o:spId xmlns:o=\"urn:o\">WRONG</o:spId><spId>";
    let rebound = format!(
        "<a:x xmlns:a=\"urn:o\"><a:spType xmlns:a=\"{HOME}\">E-IND</a:spType></a:x><spType>"
    );
    let sub = "<spType xmlns=\"\">";
    vec![
        Row::new(
            "another prefix",
            made(|good| {
                let body = good.replace("</", "\0").replace('<', "<n:").replace('\0', "</n:");
                body.replace("<n:?", "<?").replace("xmlns=", "xmlns:n=").into_bytes()
            }),
            accepted(),
        ),
        Row::new("the same name elsewhere", put("<spId>", foreign), accepted()),
        Row::new("a prefix bound anew", put("<spType>", rebound), accepted()),
        Row::new("an unknown element", put(IDLE, "<new>1</new><bo>"), accepted()),
        Row::new(
            "a namespace taken back",
            put("<spType>", sub),
            told("TL2001", Field("servicePoint/spType", "<servicePoint>")),
        ),
        Row::new(
            "a prefix that nobody declared",
            put(IDLE, "<p:x/><bo>"),
            told("TL1001", At("<p:x/>")),
        ),
        Row::new("another namespace", put(HOME, "urn:other"), untold("TL1005", At(ROOT))),
        Row::new(
            "another root",
            made(|good| good.replace("spSyncRequest", "personSyncRequest").into_bytes()),
            untold("TL1005", At("<personSync")),
        ),
    ]
}

fn identities() -> Vec<Row> {
    const ID: &str = "sendDetails/syncRequestId";
    let id = |name, code, text: String| {
        let make = made(move |good| {
            let (before, rest) = good.split_once("<syncRequestId>").unwrap();
            let (_, after) = rest.split_once("</syncRequestId>").unwrap();
            format!("{before}<syncRequestId>{text}</syncRequestId>{after}").into_bytes()
        });
        Row::new(name, make, untold(code, Field(ID, "<syncRequestId>")))
    };
    let odd = |name, front: &'static str| {
        let to = format!("<syncRequestId>{front}");
        Row::new(name, put("<syncRequestId>", to), accepted())
    };
    vec![
        id("an empty id", "TL2001", String::new()),
        id("an id of white space", "TL2001", " \t ".to_owned()),
        id("an id of 10 kB", "TL2003", "9".repeat(10_000)),
        id("an id too long by one", "TL2003", "123456789012345".to_owned()),
        id("a line break in the id", "TL2003", "S&#10;1".to_owned()),
        id("NBSP in the id", "TL2003", "S\u{A0}1".to_owned()),
        id("right to left in the id", "TL2003", "S\u{202E}1".to_owned()),
        id("an id of other digits", "TL2003", "८५८".to_owned()),
        odd("a path in the id", "../"),
        odd("SQL in the id", "'--"),
        odd("spaces in front of the id", " \t"),
        Row::new(
            "two ids",
            put("<syncRequestId>", "<syncRequestId>1</syncRequestId><syncRequestId>"),
            untold("TL2005", Field(ID, "<syncRequestId>")),
        ),
        Row::new(
            "two service points",
            put("<spId>", "<spId>1</spId><spId>"),
            told("TL2005", Field("servicePoint/spId", "<spId>")),
        ),
        Row::new(
            "no service point",
            made(|good| good.replace("spId>", "noSpId>").into_bytes()),
            told("TL2001", Field("servicePoint/spId", "<servicePoint>")),
        ),
    ]
}

fn values() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut field = |names: &[&'static str], path: &'static str, from: &'static str, tag, code| {
        for name in names {
            let end = told(code, Field(path, tag));
            rows.push(Row::new(name, put(from, format!("{tag}{name}")), end));
        }
    };
    let number = ["NaN", "INF", "1e999", "+0", "१", "007", "-91", "90.000001", "0x10", "1,5"];
    let tag = "<geocodeLatitude>";
    field(&number, "servicePoint/geocodeLatitude", "<geocodeLatitude>42.694634", tag, "TL2003");
    let tag = "<geocodeLongitude>";
    field(
        &["187.6"],
        "servicePoint/geocodeLongitude",
        "<geocodeLongitude>-87.624632",
        tag,
        "TL2003",
    );
    let date = ["0000-00-00", "2025-02-30", "99999-01-01", "12.03.2025", "2025-3-12"];
    let tag = "<installationDate>";
    field(&date, "servicePoint/installationDate", "<installationDate>2025-03-12", tag, "TL2003");
    let time = ["2016-12-31T23:59:60Z", "2025-03-14T02:11:09", "2025-03-14"];
    let tag = "<createDateTime>";
    let from = "<createDateTime>2025-03-14T02:11:09-05:00";
    field(&time, "sendDetails/createDateTime", from, tag, "TL2003");
    let version = ["-1", "1.0", "99999999999999999999"];
    field(&version, "sendDetails/version", "<version>1", "<version>", "TL2003");
    field(&["maybe"], "sendDetails/initialLoad", "<initialLoad>false", "<initialLoad>", "TL2003");
    field(&["X-UNMAP"], "servicePoint/spType", "<spType>E-RES", "<spType>", "TL2002");
    field(&[" "], "servicePoint/spType", "<spType>E-RES", "<spType>", "TL2001");
    let long = "a source system whose name is longer than it may be";
    field(
        &[long],
        "sendDetails/sourceSystem",
        "<sourceSystem>OU_CCB_01",
        "<sourceSystem>",
        "TL2004",
    );
    rows
}

fn foreign() -> Vec<Row> {
    let zipped = *b"\x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    vec![
        Row::new("nothing", bytes(*b""), untold("TL1001", Start)),
        Row::new("white space", bytes(*b" \n\t "), untold("TL1001", Start)),
        Row::new("JSON", bytes(*b"{\"syncRequestId\": \"S1\"}"), untold("TL1006", Start)),
        Row::new("a list in JSON", bytes(*b"[1]"), untold("TL1006", Start)),
        Row::new("HTML", bytes(*b"<html><body/></html>"), untold("TL1006", Start)),
        Row::new("gzip", bytes(zipped), untold("TL1006", Start)),
        Row::new("ZIP", bytes(*b"PK\x03\x04\0\0"), untold("TL1006", Start)),
        Row::new("a letter", bytes(*b"sync failed:\r\n see \x07"), untold("TL1001", At("\u{7}"))),
    ]
}
