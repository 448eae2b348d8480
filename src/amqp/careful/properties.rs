//! What can be read of the properties of a message, whatever they are.
//!
//! What cannot be read is left out and named; the bytes of all properties are kept with it, because
//! nobody else has them once the message is settled.

use super::super::headers::{DEPTH_MAX, float, long_string};
use super::frames::Reading;
use crate::bridge::{HeaderValue, Properties, header};

/// Reads the properties of a content header, flags first.
pub(super) fn read(raw: &[u8]) -> Properties {
    let mut properties = Properties::default();
    let mut troubles = Troubles::default();
    if fill(&mut properties, raw, &mut troubles).is_none() {
        troubles.note("they end too early");
    }
    if !troubles.0.is_empty() {
        let raw = HeaderValue::Bytes(raw.to_vec());
        properties.headers.push((header::RAW_PROPERTIES.to_owned(), raw));
        properties.unreadable = Some(troubles.0.join("; "));
    }
    properties
}

/// What could not be read.
#[derive(Default)]
struct Troubles(Vec<String>);

impl Troubles {
    /// How many are named.
    const MAX: usize = 5;

    fn note(&mut self, trouble: impl Into<String>) {
        if self.0.len() < Self::MAX {
            self.0.push(trouble.into());
        }
    }

    fn text(&mut self, name: &str, bytes: &[u8]) -> Option<String> {
        if let Ok(text) = str::from_utf8(bytes) {
            return Some(text.to_owned());
        }
        let found = String::from_utf8_lossy(bytes);
        self.note(format!("{name}: found '{found}', expected UTF-8"));
        None
    }
}

/// `None` if the bytes end too early. The order is that of the flags, from the highest bit.
fn fill(to: &mut Properties, raw: &[u8], troubles: &mut Troubles) -> Option<()> {
    let mut raw = Reading(raw);
    let flags = raw.short()?;
    let has = |bit: u32| flags & (1 << bit) != 0;
    let mut text = |raw: &mut Reading<'_>, bit, name| -> Option<Option<String>> {
        if !has(bit) {
            return Some(None);
        }
        Some(troubles.text(name, raw.short_string()?))
    };
    to.content_type = text(&mut raw, 15, "content_type")?;
    to.content_encoding = text(&mut raw, 14, "content_encoding")?;
    let headers = if has(13) { Some(raw.long_string()?) } else { None };
    to.delivery_mode = if has(12) { Some(raw.byte()?) } else { None };
    to.priority = if has(11) { Some(raw.byte()?) } else { None };
    to.correlation_id = text(&mut raw, 10, "correlation_id")?;
    to.reply_to = text(&mut raw, 9, "reply_to")?;
    to.expiration = text(&mut raw, 8, "expiration")?;
    to.message_id = text(&mut raw, 7, "message_id")?;
    to.timestamp = if has(6) { Some(raw.long_long()?) } else { None };
    to.kind = text(&mut raw, 5, "type")?;
    to.user_id = text(&mut raw, 4, "user_id")?;
    to.app_id = text(&mut raw, 3, "app_id")?;
    text(&mut raw, 2, "cluster_id")?;
    if let Some(headers) = headers {
        to.headers = table(Reading(headers), 0, troubles);
    }
    Some(())
}

fn table(
    mut raw: Reading<'_>,
    depth: usize,
    troubles: &mut Troubles,
) -> Vec<(String, HeaderValue)> {
    let mut entries = Vec::new();
    while !raw.0.is_empty() {
        let entry =
            raw.short_string().and_then(|name| Some((name, value(&mut raw, depth, troubles)?)));
        let Some((name, value)) = entry else {
            troubles.note("headers: a value of a kind or length that is unknown");
            break;
        };
        if let Some(name) = troubles.text("the name of a header", name) {
            entries.push((name, value));
        }
    }
    entries
}

/// A value with its type before it (<https://www.rabbitmq.com/amqp-0-9-1-errata#section_3>).
fn value(raw: &mut Reading<'_>, depth: usize, troubles: &mut Troubles) -> Option<HeaderValue> {
    let integer = |number: i64| Some(HeaderValue::Integer(number));
    match raw.byte()? {
        b't' => Some(HeaderValue::Bool(raw.byte()? != 0)),
        b'b' => integer(i64::from(raw.byte()?.cast_signed())),
        b'B' => integer(i64::from(raw.byte()?)),
        b's' => integer(i64::from(raw.short()?.cast_signed())),
        b'u' => integer(i64::from(raw.short()?)),
        b'I' => integer(i64::from(raw.long()?.cast_signed())),
        b'i' => integer(i64::from(raw.long()?)),
        b'l' | b'L' => integer(raw.long_long()?.cast_signed()),
        b'f' => Some(float(f64::from(f32::from_bits(raw.long()?)))),
        b'd' => Some(float(f64::from_bits(raw.long_long()?))),
        b'D' => Some(HeaderValue::Decimal(raw.byte()?, raw.long()?)),
        b'T' => Some(HeaderValue::Timestamp(raw.long_long()?)),
        b'S' => raw.long_string().map(long_string),
        b'x' => Some(HeaderValue::Bytes(raw.long_string()?.to_vec())),
        b'V' => Some(HeaderValue::Void),
        kind @ (b'F' | b'A') => {
            // Its length stands before it, so that what is too deep is stepped over.
            let inner = Reading(raw.long_string()?);
            Some(match kind {
                _ if depth >= DEPTH_MAX => HeaderValue::Void,
                b'F' => HeaderValue::Table(table(inner, depth + 1, troubles)),
                _ => HeaderValue::List(list(inner, depth + 1, troubles)),
            })
        }
        _ => None,
    }
}

fn list(mut raw: Reading<'_>, depth: usize, troubles: &mut Troubles) -> Vec<HeaderValue> {
    let mut values = Vec::new();
    while !raw.0.is_empty() {
        let Some(value) = value(&mut raw, depth, troubles) else {
            troubles.note("headers: a value of a kind or length that is unknown");
            break;
        };
        values.push(value);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags, then the properties.
    fn raw(flags: u16, rest: &[&[u8]]) -> Vec<u8> {
        [&flags.to_be_bytes()[..], &rest.concat()].concat()
    }

    #[test]
    fn what_can_be_read_is_read_and_the_rest_is_named() {
        let headers: &[u8] = b"\x01aS\0\0\0\x02ok\x02\xe9\xe9t\x01\x01bI\xff\xff\xff\xff";
        let length = u32::try_from(headers.len()).unwrap().to_be_bytes();
        let raw = raw(0xa400, &[b"\x08text/xml", &length, headers, b"\x03m\xe9n"]);
        let read = read(&raw);
        assert_eq!(read.content_type.as_deref(), Some("text/xml"));
        assert_eq!(read.correlation_id, None);
        let kept = |name: &str| read.headers.iter().find(|(it, _)| it == name).map(|(_, it)| it);
        assert_eq!(kept("a"), Some(&HeaderValue::Text("ok".into())));
        assert_eq!(kept("b"), Some(&HeaderValue::Integer(-1)));
        assert_eq!(kept(header::RAW_PROPERTIES), Some(&HeaderValue::Bytes(raw)));
        assert_eq!(
            read.unreadable.as_deref(),
            Some(
                "correlation_id: found 'm\u{fffd}n', expected UTF-8; the name of a header: found \
                 '\u{fffd}\u{fffd}', expected UTF-8"
            )
        );
    }

    #[test]
    fn good_properties_have_no_trouble() {
        let read = read(&raw(0x1080, &[b"\x02", b"\x02m1"]));
        assert_eq!((read.delivery_mode, read.message_id.as_deref()), (Some(2), Some("m1")));
        assert_eq!((read.unreadable, read.headers.len()), (None, 0));
    }

    #[test]
    fn tables_within_tables_are_followed_to_a_depth() {
        let mut inner = b"\x01xV".to_vec();
        for _ in 0..5_000 {
            let length = u32::try_from(inner.len()).unwrap().to_be_bytes();
            inner = [b"\x01tF", &length[..], &inner].concat();
        }
        let length = u32::try_from(inner.len()).unwrap().to_be_bytes();
        let read = read(&raw(0x2000, &[&length, &inner]));
        assert_eq!(read.unreadable, None);
        let mut depth = 0;
        let mut headers = &read.headers;
        while let [(_, HeaderValue::Table(inner))] = &headers[..] {
            depth += 1;
            headers = inner;
        }
        assert_eq!(depth, DEPTH_MAX);
    }

    #[test]
    fn whatever_the_bytes_are_they_are_read() {
        for length in 0..40 {
            for seed in 0..200_u8 {
                let noise = (0..length)
                    .map(|at: u8| seed.wrapping_mul(31).wrapping_add(at.wrapping_mul(7)));
                let noise: Vec<u8> = noise.collect();
                let read = read(&noise);
                let kept = read.headers.iter().any(|(name, _)| name == header::RAW_PROPERTIES);
                assert_eq!(kept, read.unreadable.is_some());
            }
        }
        assert_eq!(read(b"").unreadable.as_deref(), Some("they end too early"));
    }
}
