//! What XML allows: characters, names, references.

use std::borrow::Cow;

use super::xml::Fault;
use crate::domain::FailureCode;

/// The value of an attribute: references resolved, white space as the standard has it.
pub(super) fn attribute_value(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', raw.as_bytes()).is_none() && !raw.contains(['\t', '\n', '\r']) {
        return Cow::Borrowed(raw);
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(offset) = rest.find(['&', '\t', '\n', '\r']) {
        value.push_str(&rest[..offset]);
        rest = &rest[offset..];
        if !rest.starts_with('&') {
            value.push(' ');
            rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
            continue;
        }
        let length = rest.find(';').unwrap_or(rest.len() - 1);
        value.extend(resolve_reference(0, &rest[1..length]));
        rest = &rest[length + 1..];
    }
    value.push_str(rest);
    Cow::Owned(value)
}

/// One of the five entities that XML itself has, or a character by number.
pub(super) fn resolve_reference(at: usize, name: &str) -> Result<char, Fault> {
    let number = match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        name => name.strip_prefix('#'),
    };
    let Some(number) = number else {
        let shown = format!("&{name};");
        if !is_name(name) {
            return Err(
                Fault::malformed(at, "&amp; or the reference of an entity").with_found(&shown)
            );
        }
        let expected = "only the entities lt, gt, amp, quot and apos".to_owned();
        return Err(Fault::new(FailureCode::ForbiddenXml, at, expected).with_found(&shown));
    };
    let digits = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    let plain = digits.0.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits.0, digits.1).ok().filter(|_| plain);
    value.and_then(char::from_u32).filter(|character| is_allowed(*character)).ok_or_else(|| {
        Fault::malformed(at, "the number of a character that XML allows")
            .with_found(&format!("&{name};"))
    })
}

/// Line ends are `\n`, whatever the document uses (XML 1.0, section 2.11).
pub(super) fn normalise_lines(raw: &str) -> Cow<'_, str> {
    match memchr::memchr(b'\r', raw.as_bytes()) {
        None => Cow::Borrowed(raw),
        Some(_) => Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n")),
    }
}

/// How many bytes at the beginning are accepted.
pub(super) fn count(bytes: &[u8], accept: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !accept(*byte)).unwrap_or(bytes.len())
}

/// White space as XML has it, which is less than Unicode's.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether XML 1.0 allows the character.
pub(super) fn is_allowed(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    }
}

/// Finds the first character that XML does not allow, a block at a time.
pub(super) fn first_bad_character(text: &str) -> Option<usize> {
    for (index, block) in text.as_bytes().chunks(BLOCK).enumerate() {
        let whole: Option<&[u8; BLOCK]> = block.as_array();
        if !whole.map_or_else(|| any_suspicious(block), |whole| any_suspicious(whole)) {
            continue;
        }
        for (offset, byte) in block.iter().enumerate().filter(|(_, byte)| is_suspicious(**byte)) {
            let at = index * BLOCK + offset;
            // 0xEF only ever begins a character, so that this is a place to cut at.
            let character = text[at..].chars().next().unwrap_or_default();
            if *byte < b' ' || !is_allowed(character) {
                return Some(at);
            }
        }
    }
    None
}

/// As long as is known beforehand, the compiler takes many bytes of a block at once.
const BLOCK: usize = 64;

/// Looks at all bytes before it decides, which is faster than to ask after each.
fn any_suspicious(block: &[u8]) -> bool {
    block.iter().fold(false, |any, byte| any | is_suspicious(*byte))
}

/// Whether a character that XML does not allow may begin with the byte.
fn is_suspicious(byte: u8) -> bool {
    (byte < b' ' && !is_space(byte)) || byte == 0xEF
}

/// Splits a qualified name; none if it is no such name.
pub(super) fn split_name(name: &str) -> Option<(&str, &str)> {
    if is_name(name) {
        return Some(("", name));
    }
    let (prefix, local) = name.split_once(':')?;
    (is_name(prefix) && is_name(local)).then_some((prefix, local))
}

/// Whether the text is a name without a colon (`NCName`).
pub(super) fn is_name(name: &str) -> bool {
    let start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if name.bytes().all(|byte| IN_NAMES[usize::from(byte)]) {
        return name.bytes().next().is_some_and(start);
    }
    let letter = |c: char| if c.is_ascii() { start(c as u8) } else { is_letter(c) };
    let further = |c: char| {
        if c.is_ascii() {
            IN_NAMES[c as usize]
        } else {
            is_letter(c) || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
        }
    };
    let mut characters = name.chars();
    characters.next().is_some_and(letter) && characters.all(further)
}

/// The bytes of ASCII that can stand in a name.
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        byte += 1;
    }
    table
};

/// `NameStartChar` of XML 1.0, fifth edition, beyond ASCII.
fn is_letter(character: char) -> bool {
    matches!(character,
        '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
        | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}
