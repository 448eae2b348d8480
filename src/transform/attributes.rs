//! Attributes, read strictly: quick-xml looks at them only when asked, and then forgives much.

use super::characters::{count, is_space, resolve_reference, split_name};
use super::xml::{Fault, check_size};

/// An attribute, its value as written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) raw: &'a str,
    pub(super) at: usize,
}

/// Reads what stands in a start tag behind its name, into `attributes`; at most `limit` of them.
pub(super) fn read_attributes<'a>(
    at: usize,
    raw: &'a str,
    limit: usize,
    attributes: &mut Vec<Attribute<'a>>,
) -> Result<(), Fault> {
    let bytes = raw.as_bytes();
    let mut next = 0;
    loop {
        let spaces = count(&bytes[next..], is_space);
        if next + spaces == bytes.len() {
            return Ok(());
        }
        if spaces == 0 {
            return Err(Fault::malformed(at + next, "white space in front of an attribute"));
        }
        next += spaces;
        let from = next;
        next += count(&bytes[next..], |byte| byte != b'=' && !is_space(byte));
        let name = &raw[from..next];
        if split_name(name).is_none() {
            return Err(Fault::malformed(at + from, "an attribute name").with_found(name));
        }
        next += count(&bytes[next..], is_space);
        if bytes.get(next) != Some(&b'=') {
            return Err(Fault::malformed(at + next, "= and a value in quotes"));
        }
        next += 1;
        next += count(&bytes[next..], is_space);
        let quote = bytes.get(next).copied().filter(|byte| matches!(byte, b'"' | b'\''));
        let Some(length) = quote.and_then(|quote| memchr::memchr(quote, &bytes[next + 1..])) else {
            return Err(Fault::malformed(at + next, "a value in quotes"));
        };
        let value = &raw[next + 1..next + 1 + length];
        check_value(at + next + 1, value)?;
        attributes.push(Attribute { name, raw: value, at: at + next + 1 });
        check_size(at + from, attributes.len(), limit, "attributes of one element")?;
        next += length + 2;
    }
}

fn check_value(at: usize, value: &str) -> Result<(), Fault> {
    if let Some(offset) = memchr::memchr(b'<', value.as_bytes()) {
        return Err(Fault::malformed(at + offset, "&lt; in an attribute").with_found("<"));
    }
    let mut rest = value;
    let mut place = at;
    while let Some(offset) = memchr::memchr(b'&', rest.as_bytes()) {
        let Some(length) = memchr::memchr(b';', &rest.as_bytes()[offset..]) else {
            return Err(Fault::malformed(place + offset, "a reference that ends with ;"));
        };
        resolve_reference(place + offset, &rest[offset + 1..offset + length])?;
        rest = &rest[offset + length + 1..];
        place += offset + length + 1;
    }
    Ok(())
}
