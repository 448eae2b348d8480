//! Writes XML. An element is opened only when something stands in it, so that what has no value
//! leaves no trace.

use super::characters::is_allowed;
use super::target::Tag;

/// Writes a document, element by element.
pub(super) struct Writer<'m> {
    out: Vec<u8>,
    open: Vec<&'m Tag>,
    /// How many of the open elements are written already.
    written: usize,
}

impl<'m> Writer<'m> {
    pub(super) fn new(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out, open: Vec::with_capacity(8), written: 0 }
    }

    pub(super) fn open(&mut self, tag: &'m Tag) {
        self.open.push(tag);
        // The root is written whatever stands in it.
        if tag.namespace.is_some() {
            self.flush();
        }
    }

    pub(super) fn close(&mut self) {
        let Some(tag) = self.open.pop() else { return };
        if self.written > self.open.len() {
            self.written = self.open.len();
            self.end_tag(&tag.name);
        }
    }

    pub(super) fn leaf(&mut self, name: &str, value: &str) {
        self.flush();
        if value.is_empty() {
            self.out.push(b'<');
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"/>");
            return;
        }
        self.start_tag(name);
        escape_into(&mut self.out, value);
        self.end_tag(name);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn flush(&mut self) {
        while self.written < self.open.len() {
            let tag = self.open[self.written];
            self.written += 1;
            match &tag.namespace {
                None => self.start_tag(&tag.name),
                Some(namespace) => {
                    self.out.push(b'<');
                    self.out.extend_from_slice(tag.name.as_bytes());
                    if !namespace.is_empty() {
                        self.out.extend_from_slice(b" xmlns=\"");
                        escape_into(&mut self.out, namespace);
                        self.out.push(b'"');
                    }
                    self.out.push(b'>');
                }
            }
            if let Some((name, value)) = &tag.fixed {
                self.start_tag(name);
                escape_into(&mut self.out, value);
                self.end_tag(name);
            }
        }
    }

    fn start_tag(&mut self, name: &str) {
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'>');
    }

    fn end_tag(&mut self, name: &str) {
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'>');
    }
}

/// Escapes text. What XML cannot say at all, such as a control character out of an operator's
/// clipboard, becomes the replacement character.
pub(super) fn escape_into(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| SPECIAL[usize::from(byte)]) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let character = rest[at..].chars().next().unwrap_or_default();
        match character {
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '&' => out.extend_from_slice(b"&amp;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\r' => out.extend_from_slice(b"&#13;"),
            other => {
                let shown = if is_allowed(other) { other } else { '\u{FFFD}' };
                out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = &rest[at + character.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The bytes that do not always stand for themselves. 0xEF begins U+FFFE and U+FFFF, among others.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        let control = byte < b' ' && !matches!(byte, b'\t' | b'\n');
        table[byte as usize] = control || matches!(byte, b'<' | b'>' | b'&' | b'"');
        byte += 1;
    }
    table[0xEF] = true;
    table
};
