//! How an input becomes another one.

use crate::torture::random::Random;

/// What goes wrong in most formats.
const TOKENS: &[&str] = &[
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\"",
    "'",
    "\\",
    "<",
    ">",
    "&",
    ";",
    "/",
    "%",
    "=",
    "{",
    "[",
    "]",
    "}",
    "0",
    "-1",
    "1e999",
    "NaN",
    "18446744073709551616",
    "\u{FEFF}",
    "\u{FFFE}",
    "\u{202E}",
    "é",
    "\u{1F600}",
];

/// Changes an input in one to four ways, by these words and up to that length.
pub(super) fn mutated(
    random: &mut Random,
    pool: &[Vec<u8>],
    (tokens, longest): (&'static [&'static str], usize),
) -> Vec<u8> {
    let mut bytes = pool[place(random, pool.len())].clone();
    for _ in 0..random.between(1, 4) {
        step(random, &mut bytes, pool, tokens);
        bytes.truncate(longest);
    }
    bytes
}

fn step(
    random: &mut Random,
    bytes: &mut Vec<u8>,
    pool: &[Vec<u8>],
    tokens: &'static [&'static str],
) {
    let at = place(random, bytes.len() + 1);
    let part = part(random, bytes.len());
    match random.between(0, 9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.between(0, 7),
        1 if at < bytes.len() => bytes[at] = byte(random),
        2 => bytes.insert(at, byte(random)),
        3 => drop(bytes.drain(part)),
        4 => {
            let copy = bytes[part].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => {
            // What is nested or repeated is so many times over.
            let copy = bytes[part].repeat(random.between(2, 80) as usize);
            bytes.splice(at..at, copy);
        }
        6 => {
            let other = &pool[place(random, pool.len())];
            let from = self::part(random, other.len());
            bytes.splice(part, other[from].iter().copied());
        }
        7 => {
            let token = random.pick(TOKENS).as_bytes();
            bytes.splice(at..at, token.iter().copied());
        }
        8 => {
            let token = random.pick(tokens).as_bytes();
            bytes.splice(at..at, token.iter().copied());
        }
        _ => {
            let token = random.pick(tokens).as_bytes();
            let word = word(bytes, at);
            bytes.splice(word, token.iter().copied());
        }
    }
}

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.between(0, 255)).unwrap()
}

/// A place below the bound, which is not 0.
fn place(random: &mut Random, bound: usize) -> usize {
    random.between(0, u32::try_from(bound - 1).unwrap()) as usize
}

/// A part of something with this length, mostly a short one.
fn part(random: &mut Random, length: usize) -> std::ops::Range<usize> {
    let start = place(random, length + 1);
    let most = [4, 32, 256, length][place(random, 4)];
    let rest = (length - start).min(most);
    start..start + place(random, rest + 1)
}

/// The word around a place.
fn word(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte > 0x7F || b"_-.".contains(byte);
    let start = bytes[..at].iter().rposition(|byte| !in_word(byte)).map_or(0, |place| place + 1);
    let end = bytes[at..].iter().position(|byte| !in_word(byte));
    start..end.map_or(bytes.len(), |length| at + length)
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let pool = vec![b"<a b='c'>text</a>".to_vec(), b"{}".to_vec(), Vec::new()];
    let inputs = |seed| {
        let mut random = Random::of(seed);
        (0..500).map(|_| mutated(&mut random, &pool, (&["x", "<y/>"], 1_000))).collect::<Vec<_>>()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    let distinct: std::collections::HashSet<_> = inputs(1).into_iter().collect();
    assert!(distinct.len() > 300, "only {} of 500 inputs differ", distinct.len());
}
