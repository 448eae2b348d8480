//! Bodies that are too much: deep, wide, long, or all of it.

use super::requests::hold;
use super::table::Place::{At, Nth, Start};
use super::table::{Row, accepted, bytes, insert, made, put, told, untold};
use crate::support::Site;

/// An element that no rule reads, behind the ids; two elements are open around it.
const IDLE: &str = "<bo>";

#[test]
fn whatever_exceeds_a_limit_is_parked_at_little_cost() {
    let Some(site) = Site::open() else { return };
    let bridge = site.start();
    let mut rows = deep();
    rows.extend(wide());
    rows.extend(long());
    hold(&site, &bridge, &rows);
    kept_as_it_came(&site);
}

fn deep() -> Vec<Row> {
    let nested = |depth| format!("{}{}{IDLE}", "<a>".repeat(depth), "</a>".repeat(depth));
    vec![
        Row::new("62 elements inside each other, in two", put(IDLE, nested(62)), accepted()),
        Row::new("one more", put(IDLE, nested(63)), told("TL1003", Nth("<a>", 62))),
        Row::new(
            "30 000 unclosed elements",
            insert(IDLE, "<a>".repeat(30_000)),
            told("TL1003", Nth("<a>", 62)),
        ),
        Row::new(
            "a million elements inside each other",
            made(move |good| good.replacen(IDLE, &nested(1_000_000), 1).into_bytes()),
            told("TL1003", Nth("<a>", 62)),
        ),
    ]
}

fn wide() -> Vec<Row> {
    let many = |count: usize, before: &'static str| {
        made(move |good| {
            let attributes: String =
                (0..count).flat_map(|n| [before.to_owned(), name(n), "=''".to_owned()]).collect();
            good.replacen(IDLE, &format!("<bo{attributes}>"), 1).into_bytes()
        })
    };
    let within = || told("TL1003", At("<bo "));
    let elements = |count: usize| {
        made(move |good| {
            good.replacen(IDLE, &format!("{}{IDLE}", "<a/>".repeat(count)), 1).into_bytes()
        })
    };
    vec![
        Row::new("800 000 attributes", many(800_000, " "), within()),
        Row::new("100 000 namespaces", many(100_000, " xmlns:"), within()),
        Row::new("65 attributes", many(65, " "), told("TL1003", At("aaacm"))),
        Row::new("64 attributes", many(64, " "), accepted()),
        // Root, group and id came before; the limit is 100 000.
        Row::new(
            "as many siblings as fit",
            elements(2_000_000),
            told("TL1003", Nth("<a/>", 99_997)),
        ),
    ]
}

fn long() -> Vec<Row> {
    let filled = |length: usize| {
        made(move |good| {
            let spaces = " ".repeat(length - good.len());
            good.replacen(IDLE, &format!("{spaces}{IDLE}"), 1).into_bytes()
        })
    };
    let text = |text: &'static str, count: usize| {
        made(move |good| {
            good.replacen(IDLE, &format!("{IDLE}{}", text.repeat(count)), 1).into_bytes()
        })
    };
    vec![
        Row::new(
            "an attribute of 5 MiB",
            made(|good| {
                let value = "x".repeat(5 << 20);
                good.replacen(IDLE, &format!("<bo a=\"{value}\">"), 1).into_bytes()
            }),
            told("TL1003", At("<bo ")),
        ),
        Row::new("a text of 7 MiB", text("x", 7 << 20), told("TL1003", At("xxxx"))),
        // What the good message says there counts, too.
        Row::new("a text of 1 MiB", text("x", (1 << 20) - "C1-FWSPSyncRequest".len()), accepted()),
        Row::new(
            "a text of 7 MiB in pieces",
            text("x&amp;", (7 << 20) / 6),
            // 1 MiB is passed by a reference: six bytes for each pair.
            told("TL1003", Nth("&amp;", (1 << 20) / 6)),
        ),
        Row::new(
            "8 MiB of white space and one byte",
            filled((8 << 20) + 1),
            untold("TL1003", Start),
        ),
        Row::new("16 MiB and one byte", bytes(vec![b'x'; (16 << 20) + 1]), untold("TL1003", Start)),
    ]
}

/// The name of an attribute: five letters.
fn name(number: usize) -> String {
    let letters = (0..5_u32).rev().map(|place| number / 26_usize.pow(place) % 26);
    letters.map(|letter| char::from(b'a' + u8::try_from(letter).unwrap())).collect()
}

/// What is too long to be read is kept byte for byte all the same.
fn kept_as_it_came(site: &Site) {
    let errors = site.errors();
    let newest = errors.iter().max_by_key(|error| {
        error["id"].as_str().unwrap().trim_start_matches("E-").parse::<u32>().unwrap()
    });
    let id = newest.unwrap()["id"].as_str().unwrap();
    let shown = site.cli(&["errors", "show", id, "--payload"]).ended(0);
    assert!(shown.out.bytes().all(|byte| byte == b'x') && shown.out.len() == (16 << 20) + 1);
}
