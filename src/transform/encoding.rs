//! From bytes to text: what the message's properties, its byte order mark and its XML declaration
//! say about its encoding, and whether they agree with the bytes.
//!
//! Nothing is guessed. Where two of them contradict each other the message is refused, unless the
//! text is the same either way.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::characters::is_space;
use super::xml::{Fault, Limits};
use crate::domain::FailureCode;

/// What the message's properties say about its body.
#[derive(Clone, Copy, Default, Debug)]
pub struct ContentType<'a> {
    /// The `content_type` property, for example `application/xml; charset=UTF-8`.
    pub content_type: Option<&'a str>,
    /// The `content_encoding` property. Anything but `identity` is refused.
    pub content_encoding: Option<&'a str>,
}

/// The text of a message, up to the first byte that is none.
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    /// What is wrong where the text ends, if it ends too early.
    pub(super) flaw: Option<Fault>,
}

/// How far into the message its XML declaration is looked for.
const DECLARATION_MAX: usize = 512;

/// Makes text of the bytes.
pub(super) fn decode<'a>(
    payload: &'a [u8],
    content: &ContentType<'_>,
    limits: &Limits,
) -> Result<Decoded<'a>, Fault> {
    check_properties(payload, content)?;
    if payload.len() > limits.body {
        let expected = format!("at most {} bytes, not {}", limits.body, payload.len());
        return Err(Fault::new(FailureCode::TooLarge, 0, expected));
    }
    check_magic(payload)?;
    let (mark, body) = byte_order_mark(payload)?;
    let declared = declared_encoding(body, mark)?;
    let encoding = settle(mark, declared)?;
    if let Some(charset) = charset(content)? {
        return decode_with_charset(body, mark.or(declared), charset);
    }
    Ok(decode_as(body, encoding))
}

fn check_properties(payload: &[u8], content: &ContentType<'_>) -> Result<(), Fault> {
    let not_xml = |expected: String, found: &str| {
        Err(Fault::new(FailureCode::NotXml, 0, expected).with_found(found))
    };
    if let Some(coding) = content.content_encoding {
        // Some AMQP libraries put the character encoding here.
        let plain = ["", "identity", "none", "utf-8", "utf8"];
        if !plain.iter().any(|word| coding.trim().eq_ignore_ascii_case(word)) {
            return not_xml("no content encoding".to_owned(), coding);
        }
    }
    let Some(content_type) = content.content_type else { return Ok(()) };
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence.ends_with("/xml") || essence.ends_with("+xml") || essence.ends_with("/x-xml") {
        return Ok(());
    }
    let vague = ["", "text/plain", "application/octet-stream"].contains(&essence.as_str());
    if vague && looks_like_markup(payload) {
        return Ok(());
    }
    not_xml("a content type such as application/xml".to_owned(), content_type)
}

fn looks_like_markup(payload: &[u8]) -> bool {
    let bare = payload.iter().filter(|byte| !matches!(byte, 0 | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF));
    bare.copied().find(|byte| !is_space(*byte)) == Some(b'<')
}

/// Refuses what is recognised as something else, with a word that helps.
fn check_magic(payload: &[u8]) -> Result<(), Fault> {
    let not_xml = |what: &str| {
        Err(Fault::new(FailureCode::NotXml, 0, "an XML document".to_owned()).with_found(what))
    };
    let start = payload.iter().position(|byte| !is_space(*byte));
    match start.map(|at| &payload[at..]) {
        None => Err(Fault::new(FailureCode::MalformedXml, 0, "a root element".to_owned())
            .with_found("an empty message")),
        Some([0x1F, 0x8B, ..]) => not_xml("gzip data"),
        Some([b'P', b'K', 3, 4, ..]) => not_xml("a ZIP archive"),
        Some([b'{' | b'[', ..]) => not_xml("JSON"),
        Some(_) => Ok(()),
    }
}

fn bad(expected: impl Into<String>) -> Fault {
    Fault::new(FailureCode::BadEncoding, 0, expected.into())
}

/// The encoding by byte order mark, or by the zero bytes of a `<` without one.
fn byte_order_mark(payload: &[u8]) -> Result<(Option<&'static Encoding>, &[u8]), Fault> {
    match payload {
        [0xEF, 0xBB, 0xBF, body @ ..] => Ok((Some(UTF_8), body)),
        [0xFF, 0xFE, 0, 0, ..]
        | [0, 0, 0xFE, 0xFF, ..]
        | [0, 0, 0, b'<', ..]
        | [b'<', 0, 0, 0, ..] => Err(bad("UTF-8, UTF-16 or a single-byte encoding, not UTF-32")),
        [0x4C, 0x6F, 0xA7, 0x94, ..] => {
            Err(bad("UTF-8, UTF-16 or a single-byte encoding, not EBCDIC"))
        }
        [0xFF, 0xFE, body @ ..] => Ok((Some(UTF_16LE), body)),
        [0xFE, 0xFF, body @ ..] => Ok((Some(UTF_16BE), body)),
        [b'<', 0, b'?', 0, ..] => Ok((Some(UTF_16LE), payload)),
        [0, b'<', 0, b'?', ..] => Ok((Some(UTF_16BE), payload)),
        [b'<', 0, ..] | [0, b'<', ..] => {
            Err(bad("a byte order mark or an XML declaration in front of UTF-16"))
        }
        _ => Ok((None, payload)),
    }
}

/// The encoding that the XML declaration names.
fn declared_encoding(
    body: &[u8],
    mark: Option<&'static Encoding>,
) -> Result<Option<&'static Encoding>, Fault> {
    let wide = mark.is_some_and(|mark| mark != UTF_8);
    let head = if wide {
        let skip = usize::from(mark == Some(UTF_16BE));
        body.iter().skip(skip).step_by(2).take(DECLARATION_MAX).copied().collect()
    } else {
        Cow::Borrowed(&body[..body.len().min(DECLARATION_MAX)])
    };
    let Some(name) = encoding_name(&head) else { return Ok(None) };
    let label = String::from_utf8_lossy(name).into_owned();
    if label.eq_ignore_ascii_case("us-ascii") || label.eq_ignore_ascii_case("ascii") {
        let ascii = body.is_ascii();
        return if ascii { Ok(None) } else { Err(bad("ASCII, as declared").with_found(&label)) };
    }
    known_encoding(&label).map(|encoding| {
        // Without an order of bytes of its own, the name stands for the one that the bytes show.
        let unordered = label.eq_ignore_ascii_case("utf-16");
        Some(if unordered && wide { mark.unwrap_or(encoding) } else { encoding })
    })
}

fn known_encoding(label: &str) -> Result<&'static Encoding, Fault> {
    Encoding::for_label(label.as_bytes())
        .filter(|encoding| {
            encoding.is_single_byte() || [UTF_8, UTF_16LE, UTF_16BE].contains(encoding)
        })
        .ok_or_else(|| {
            bad("UTF-8, UTF-16, ISO-8859-1 or another single-byte encoding").with_found(label)
        })
}

/// Finds `encoding="…"` in an XML declaration. Its syntax is checked by the reader, later.
fn encoding_name(head: &[u8]) -> Option<&[u8]> {
    let rest = head.strip_prefix(b"<?xml")?;
    let declaration = &rest[..memchr::memmem::find(rest, b"?>")?];
    let after = memchr::memmem::find(declaration, b"encoding")? + b"encoding".len();
    let mut rest = declaration[after..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let quote = *rest.first()?;
    rest = &rest[1..];
    matches!(quote, b'"' | b'\'').then(|| memchr::memchr(quote, rest).map(|end| &rest[..end]))?
}

/// Agrees byte order mark and declaration.
fn settle(
    mark: Option<&'static Encoding>,
    declared: Option<&'static Encoding>,
) -> Result<&'static Encoding, Fault> {
    match (mark, declared) {
        (Some(mark), Some(declared)) if mark != declared => Err(bad(format!(
            "{}, as the first bytes say, or a declaration that says so",
            mark.name()
        ))
        .with_found(declared.name())),
        (Some(encoding), _) => Ok(encoding),
        (None, Some(declared)) if declared == UTF_16LE || declared == UTF_16BE => {
            Err(bad("UTF-16, as declared").with_found("single bytes"))
        }
        (None, Some(declared)) => Ok(declared),
        (None, None) => Ok(UTF_8),
    }
}

/// The charset of the content type, if it names one.
fn charset(content: &ContentType<'_>) -> Result<Option<&'static Encoding>, Fault> {
    let Some(content_type) = content.content_type else { return Ok(None) };
    let parameters = content_type.split(';').skip(1);
    let named = parameters.filter_map(|parameter| parameter.split_once('='));
    let mut charsets = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let Some((_, value)) = charsets.next() else { return Ok(None) };
    known_encoding(value.trim().trim_matches(['"', '\''])).map(Some)
}

/// The charset of the content type counts only if the document does not say otherwise, or if the
/// text is the same either way.
fn decode_with_charset<'a>(
    body: &'a [u8],
    own: Option<&'static Encoding>,
    charset: &'static Encoding,
) -> Result<Decoded<'a>, Fault> {
    let Some(own) = own else {
        let wide = charset == UTF_16LE || charset == UTF_16BE;
        return if wide {
            Err(bad("UTF-16, as the content type says").with_found("single bytes"))
        } else {
            Ok(decode_as(body, charset))
        };
    };
    let decoded = decode_as(body, own);
    // The content type's `utf-16` says nothing about the order of bytes.
    let both_wide = !own.is_ascii_compatible() && !charset.is_ascii_compatible();
    if own == charset || both_wide {
        return Ok(decoded);
    }
    if decode_as(body, charset).text == decoded.text && decoded.flaw.is_none() {
        return Ok(decoded);
    }
    let expected = format!("{}, as the content type says", charset.name());
    Err(bad(expected).with_found(own.name()))
}

fn decode_as<'a>(body: &'a [u8], encoding: &'static Encoding) -> Decoded<'a> {
    if encoding == UTF_8 {
        return decode_utf8(body);
    }
    let (text, _malformed) = encoding.decode_without_bom_handling(body);
    match text.find('\u{FFFD}') {
        // U+FFFD stands for what could not be decoded; a message that holds one was damaged
        // before it came here.
        Some(at) => {
            let flaw = bad(format!("{} text", encoding.name())).at(at);
            let mut text = text.into_owned();
            text.truncate(at);
            Decoded { text: Cow::Owned(text), flaw: Some(flaw) }
        }
        None => Decoded { text, flaw: None },
    }
}

fn decode_utf8(body: &[u8]) -> Decoded<'_> {
    match std::str::from_utf8(body) {
        Ok(text) => Decoded { text: Cow::Borrowed(text), flaw: None },
        Err(error) => {
            let end = error.valid_up_to();
            let byte = body.get(end).copied().unwrap_or_default();
            let flaw = bad("UTF-8 text").at(end).with_found(&format!("byte 0x{byte:02X}"));
            let text = String::from_utf8_lossy(&body[..end]);
            Decoded { text, flaw: Some(flaw) }
        }
    }
}
