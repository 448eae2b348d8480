//! Bad answers: malformed, contradicting themselves, about nobody, or far too many.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

use super::measure::{Cost, GOOD_MAX, Used, tell};
use super::table::Place::{At, Before, End, Nowhere, Nth, Start};
use super::table::{Make, Place, and, bytes, cut, insert, made, put};
use super::xml::SMALL;
use crate::support::{
    Bridge, Message, Refusal, Site, negative, positive, properties, queue, request, until,
};

/// What an answer says about its key; behind the reference and the verdict.
const KEY: &str = "<productionPkValue1>";
const ROOT: &str = "<syncResponse";
const REFUSAL: Refusal<'static> = Refusal { category: 11502, number: 13001, parameters: &["x"] };

/// How many answers a storm has; a tenth of it for a build that is not made for speed.
const STORM: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

/// An answer, made of a good positive one, and what must come of it.
struct Row {
    name: &'static str,
    make: Make,
    correlated: Correlated,
    end: Ending,
}

/// What the answer's `correlation_id` is.
enum Correlated {
    AsItShould,
    Not,
    With(&'static str),
}

enum Ending {
    Parked(&'static str, Place),
    Positive,
}

#[test]
fn every_bad_answer_has_its_end_and_the_next_one_goes_through() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    site.tap_errors();
    let rows = rows();
    let mut most = Cost::default();
    let mut wrong = Vec::new();
    let mut parked = HashMap::new();
    for (number, row) in rows.iter().enumerate() {
        let before = Used::by(&bridge);
        let mut complaints = send(&site, number, row, &mut parked);
        let cost = Used::by(&bridge).since(before);
        tell(row.name, cost);
        complaints.extend(cost.complaint());
        most = most.or_more(cost);
        wrong.extend(complaints.iter().map(|complaint| format!("{}: {complaint}", row.name)));
    }
    tell("the most of a row", most);
    // What could not be read has settled nothing: a good answer still does.
    site.answer_with(&positive("B0", "K0"), properties());
    site.positive_reply_to("B0");
    let errors = site.errors();
    if errors.len() != parked.len() {
        wrong.push(format!("{} error records, expected {}", errors.len(), parked.len()));
    }
    for error in errors {
        let Some((number, sent)) = parked.get(error["id"].as_str().unwrap()) else {
            wrong.push(format!("nobody was told of {error}"));
            continue;
        };
        let row = &rows[*number];
        wrong.extend(row.compare(sent, *number, &error).map(|why| format!("{}: {why}", row.name)));
    }
    assert_calm(&bridge);
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn rows() -> Vec<Row> {
    let mut rows = malformed();
    rows.extend(unclear());
    rows.extend(about());
    rows
}

/// The small answers of all rows: others begin with them.
pub(crate) fn small_answers() -> Vec<Vec<u8>> {
    let answers = rows().into_iter().map(|row| (row.make)(&good(1)));
    let refused = std::iter::once(negative("B1", REFUSAL));
    answers.filter(|answer| answer.len() <= SMALL).chain(refused).collect()
}

/// Sends a request, the row as its answer, and then a good request with a good answer.
fn send(
    site: &Site,
    number: usize,
    row: &Row,
    parked: &mut HashMap<String, (usize, Vec<u8>)>,
) -> Vec<String> {
    let bad = format!("B{number}");
    site.send(&request(&bad, &format!("7{number}")));
    let location = site.location_of(&bad);
    let sent = (row.make)(&good(number));
    let properties = match row.correlated {
        Correlated::AsItShould => {
            properties().with_correlation_id(location.correlation_id().into())
        }
        Correlated::Not => properties(),
        Correlated::With(id) => properties().with_correlation_id(id.into()),
    };
    site.answer_with(&sent, properties);
    let start = Instant::now();
    let next = request(&format!("G{number}"), &format!("8{number}"));
    site.send(&next);
    site.accept(&next.id);
    let mut complaints = Vec::new();
    let reply = site.client.next(queue::REPLY);
    let settled = reply.sync_request() == bad;
    if settled {
        assert!(reply.is_positive(), "{}: {}", row.name, reply.text());
        site.positive_reply_to(&next.id);
    }
    let took = start.elapsed();
    if took > GOOD_MAX {
        complaints.push(format!("the good answer behind it took {took:?}"));
    }
    match row.end {
        Ending::Positive if !settled => complaints.push("it settled nothing".to_owned()),
        Ending::Parked(..) if settled => complaints.push(format!("it settled {bad}")),
        Ending::Positive => {}
        Ending::Parked(code, _) => {
            let note = site.client.next(queue::TAP);
            let found = note.header("tieline-code").unwrap();
            if found != code {
                complaints.push(format!("parked with {found}, expected {code}"));
            }
            parked.insert(note.header("tieline-error").unwrap(), (number, sent));
        }
    }
    complaints
}

/// The good answer that a row is made of.
fn good(number: usize) -> String {
    String::from_utf8(positive(&format!("B{number}"), &format!("K{number}"))).unwrap()
}

impl Row {
    fn compare(&self, sent: &[u8], number: usize, error: &Value) -> Option<String> {
        let Ending::Parked(_, place) = &self.end else { return None };
        place.check(sent, &good(number), error).map(|wrong| format!("defect {wrong}"))
    }

    fn correlated(mut self, correlated: Correlated) -> Self {
        self.correlated = correlated;
        self
    }
}

/// A row whose answer cannot be read.
fn unreadable(name: &'static str, make: Make, place: Place) -> Row {
    Row { name, make, correlated: Correlated::AsItShould, end: Ending::Parked("TL4001", place) }
}

fn malformed() -> Vec<Row> {
    let deep = made(|good| {
        let nested = format!("{}{}{KEY}", "<a>".repeat(1_000_000), "</a>".repeat(1_000_000));
        good.replacen(KEY, &nested, 1).into_bytes()
    });
    let declared =
        made(|good| format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{good}").into_bytes());
    vec![
        unreadable("nothing", bytes(*b""), Start),
        unreadable("JSON", bytes(*b"{\"boStatus\": \"SYNCED\"}"), Start),
        unreadable("HTML", bytes(*b"<html><body/></html>"), Start),
        unreadable("cut off", cut(KEY), End),
        unreadable("two roots", and("<a/>"), At("<a/>")),
        unreadable("a document type", insert(ROOT, "<!DOCTYPE a>"), At("<!DOCTYPE")),
        unreadable("an entity", insert(KEY, "&e;"), At("&e;")),
        unreadable("NUL", insert(KEY, "\0"), At("\0")),
        unreadable("bytes that are no UTF-8", insert(KEY, b"\xFF"), Before(KEY)),
        unreadable("UTF-8 that says UTF-16", declared, Start),
        unreadable("a million elements inside each other", deep, Nth("<a>", 63)),
        unreadable("8 MiB and one byte", bytes(vec![b'x'; (8 << 20) + 1]), Start),
        unreadable(
            "another root",
            made(|good| good.replace("syncResp", "otherResp").into()),
            Start,
        ),
        unreadable("another namespace", put("urn:tieline", "urn:other"), Start),
        unreadable("a request", made(|_| request("S1", "P1").bytes()), At("<spSyncRequest")),
    ]
}

fn unclear() -> Vec<Row> {
    let twice = "<externalReferenceId>S1</externalReferenceId><productionPkValue1>";
    let both = "<hasError>true</hasError><productionPkValue1>";
    let exception = "<exceptionInfo><items><messageNumber>1</messageNumber></items></exceptionInfo>\
                     <productionPkValue1>";
    let long = "<externalReferenceId>123456789012345";
    let verdict = "<boStatus>SYNCED</boStatus>";
    vec![
        unreadable("a verdict that nobody knows", put("SYNCED", "MAYBE"), At("MAYBE")),
        unreadable("an empty verdict", put("SYNCED", " "), At("<boStatus>")),
        unreadable("no verdict", put(verdict, ""), Start),
        unreadable("both verdicts", put(KEY, both), At("SYNCED")),
        unreadable("a positive one with an exception", put(KEY, exception), At("SYNCED")),
        unreadable("two requests", put(KEY, twice), Nth("<externalReferenceId>", 1)),
        unreadable("a reference too long", put("<externalReferenceId>B", long), At("1234567890")),
        unreadable("no key", made(|good| good.replace("PkValue1", "PkValue9").into()), Start),
        unreadable(
            "two keys",
            insert(KEY, "<productionPkValue1>A</productionPkValue1>"),
            Nth(KEY, 1),
        ),
    ]
}

fn about() -> Vec<Row> {
    let as_it_is = || made(|good| good.as_bytes().to_vec());
    let nobody = || put("<externalReferenceId>B", "<externalReferenceId>X");
    let settles = |name, make, correlated| Row { name, make, correlated, end: Ending::Positive };
    let orphan = |name, make, correlated| Row {
        name,
        make,
        correlated,
        end: Ending::Parked("TL4003", Nowhere),
    };
    let unknown = "5e0fd2a0-0000-5000-8000-00000000ab00";
    vec![
        settles("by the body alone", as_it_is(), Correlated::Not),
        settles("by the body, with another's id", as_it_is(), Correlated::With("ID:414d5120")),
        settles("by the body, with an id like ours", as_it_is(), Correlated::With(unknown)),
        settles("by the message, the body names nobody", nobody(), Correlated::AsItShould),
        orphan("to nobody", nobody(), Correlated::Not),
        orphan("to nobody, with an id like ours", nobody(), Correlated::With(unknown)),
        unreadable("unreadable and to nobody", cut(KEY), End).correlated(Correlated::Not),
    ]
}

#[test]
fn both_verdicts_in_one_batch_are_told_in_their_order() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    for id in ["S1", "S2"] {
        site.send(&request(id, id));
        site.location_of(id);
    }
    let answers = [
        negative("S1", REFUSAL),
        positive("S1", "K1"),
        positive("S2", "K2"),
        negative("S2", REFUSAL),
    ];
    site.client.publish_all(queue::ANSWER, &answers);
    // One request's replies keep their order; another's may go between them.
    let replies = site.client.take(queue::REPLY, 3);
    let told = |id: &str| -> Vec<_> {
        let about = replies.iter().filter(|reply| reply.sync_request() == id);
        about.map(Message::is_positive).collect()
    };
    assert_eq!((told("S1"), told("S2")), (vec![false, true], vec![true]));
    site.error("TL4002");
    site.nothing_more("M1");
    assert_calm(&bridge);
}

#[test]
fn an_answer_to_what_was_superseded_or_discarded_unsent_is_nobodys() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    site.send(&request("S1", "P1").version(1));
    let location = site.location_of("S1");
    site.send(&request("S2", "P1").version(2));
    site.send(&request("S3", "P1").version(3));
    site.positive_reply_to("S2");
    site.send(&request("S4", "P4").unmapped());
    site.negative_reply_to("S4");
    let id = site.error_id("TL2002");
    site.cli(&["errors", "discard", &id, "--reason", "seen"]).ended(0);
    for (count, id) in ["S2", "S4"].into_iter().enumerate() {
        site.answer_with(&positive(id, "K"), properties());
        until("one more orphan", || (site.errors().len() > count).then_some(()));
    }
    assert!(site.errors().iter().all(|error| error["code"] == "TL4003"));
    site.request_is("S2", "superseded");
    site.request_is("S4", "discarded");
    site.answer(&location, &positive("S1", "K1"));
    site.positive_reply_to("S1");
    site.accept("S3");
    site.positive_reply_to("S3");
}

#[test]
fn a_storm_of_answers_to_one_request_is_told_once() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    site.send(&request("S1", "P1"));
    site.location_of("S1");
    let start = Instant::now();
    let before = Used::by(&bridge);
    for batch in 0..STORM / 1_000 {
        // Half of them are the same, the others differ in what nobody reads.
        let answers: Vec<_> = (0..1_000)
            .map(|number| {
                let mut answer = positive("S1", "K1");
                if number % 2 == 1 {
                    answer.extend_from_slice(format!("<!-- {batch} {number} -->").as_bytes());
                }
                answer
            })
            .collect();
        site.client.publish_all(queue::ANSWER, &answers);
    }
    site.positive_reply_to("S1");
    until("the storm to be over", || (site.client.depth(queue::ANSWER) == Some(0)).then_some(()));
    let sent = Instant::now();
    site.nothing_more("M1");
    assert!(sent.elapsed() < GOOD_MAX, "the good answer took {:?}", sent.elapsed());
    tell(&format!("{STORM} answers in {:?}", start.elapsed()), Used::by(&bridge).since(before));
    assert!(site.errors().is_empty());
    assert_calm(&bridge);
}

#[track_caller]
fn assert_calm(bridge: &Bridge) {
    for word in ["panicked", "interrupted"] {
        assert_eq!(bridge.last_logged(&[word]), None, "a line of the log that says '{word}'");
    }
}
