//! A strict XML reader: bounded, without entities, without document types.
//!
//! quick-xml reads the markup; this module takes the text in between, and adds what quick-xml leaves
//! open (see its issue tracker and `docs/mapping.md`): a truncated document, a second root, text
//! outside of the root, control characters, undeclared prefixes and names that are none are all
//! faults here. Namespaces are resolved by address, not prefix. Nothing recurses, whatever the depth
//! of the input.

use std::borrow::Cow;
use std::io::BufRead as _;

use quick_xml::events::Event as Raw;

use super::attributes::{Attribute, read_attributes};
use super::characters::{
    count, first_bad_character, is_name, is_space, normalise_lines, resolve_reference, split_name,
};
use super::namespaces::Namespaces;
use crate::domain::FailureCode;

/// The bounds of what is read. Whatever exceeds one is refused with `TL1003`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the whole message.
    pub body: usize,
    /// Elements inside each other.
    pub depth: usize,
    /// Elements of the whole message.
    pub elements: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Bytes of one start tag.
    pub tag: usize,
    /// Bytes of text between two tags.
    pub text: usize,
    /// Namespace declarations in force at one place.
    pub namespaces: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 8 << 20,
            depth: 64,
            elements: 100_000,
            attributes: 64,
            tag: 64 << 10,
            text: 1 << 20,
            namespaces: 32,
        }
    }
}

/// Why a document cannot be read, and at which byte of its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) code: FailureCode,
    pub(super) at: usize,
    pub(super) found: Option<String>,
    pub(super) expected: String,
}

impl Fault {
    pub(super) fn new(code: FailureCode, at: usize, expected: String) -> Self {
        Self { code, at, found: None, expected }
    }

    pub(super) fn malformed(at: usize, expected: &str) -> Self {
        Self::new(FailureCode::MalformedXml, at, expected.to_owned())
    }

    pub(super) fn with_found(mut self, found: &str) -> Self {
        self.found = Some(found.to_owned());
        self
    }

    pub(super) fn at(mut self, at: usize) -> Self {
        self.at = at;
        self
    }
}

/// What stands next in a document: [`Reader::start`] and [`Reader::piece`] tell more of it.
/// Comments and processing instructions are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    Start,
    /// A part of a text that goes on, as far as a reference, a section or what is left out. The
    /// rest of it comes with the tag behind it.
    Text,
    End,
    /// The document ended as it should.
    Done,
}

/// A start tag, also that of an empty element, which is followed by an end.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Start<'a> {
    pub(super) local: &'a str,
    /// The namespace's address, empty for none.
    pub(super) namespace: &'a str,
    /// Where the tag begins.
    pub(super) at: usize,
    /// Where the content begins.
    pub(super) content_at: usize,
}

/// A piece of text, and where it stands.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) at: usize,
    pub(super) text: Cow<'a, str>,
}

/// Where a piece of text stands: plain up to `markup_at`, then a CDATA section or a reference.
#[derive(Clone, Copy, Default, Debug)]
struct Place {
    start: usize,
    markup_at: usize,
    end: usize,
}

pub(super) struct Reader<'a> {
    text: &'a str,
    inner: quick_xml::Reader<&'a [u8]>,
    limits: Limits,
    depth: usize,
    elements: usize,
    text_run: usize,
    /// The last start tag was that of an empty element; its end is due.
    end_due: bool,
    namespaces: Namespaces<'a>,
    attributes: Vec<Attribute<'a>>,
    /// The last start tag.
    start: Start<'a>,
    /// The text that the last event brings with it.
    piece: Place,
    /// The first character that XML does not allow.
    bad_character: usize,
    /// What is looked for in every text, if it stands anywhere at all.
    has_bracket: bool,
    has_carriage_return: bool,
}

const SECTION_START: &str = "<![CDATA[";
const SECTION_END: &[u8] = b"]]>";

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, limits: Limits) -> Self {
        let mut inner = quick_xml::Reader::from_str(text);
        inner.config_mut().check_comments = true;
        Self {
            text,
            inner,
            limits,
            depth: 0,
            elements: 0,
            text_run: 0,
            end_due: false,
            namespaces: Namespaces::default(),
            attributes: Vec::new(),
            start: Start::default(),
            piece: Place::default(),
            bad_character: first_bad_character(text).unwrap_or(usize::MAX),
            has_bracket: memchr::memchr(b']', text.as_bytes()).is_some(),
            has_carriage_return: memchr::memchr(b'\r', text.as_bytes()).is_some(),
        }
    }

    /// The attributes of the last start tag, without namespace declarations.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &Attribute<'a>> {
        self.attributes.iter().filter(|attribute| !attribute.declares())
    }

    /// The last start tag.
    pub(super) fn start(&self) -> &Start<'a> {
        &self.start
    }

    /// The text in front of the tag of the last event, or what the event says if it is text.
    pub(super) fn piece(&self) -> Option<Piece<'a>> {
        let place = (self.piece.start < self.piece.end).then_some(self.piece)?;
        let plain = &self.text[place.start..place.markup_at];
        let markup = &self.text[place.markup_at..place.end];
        let (inside_at, inside) = match markup.as_bytes().first() {
            None => return Some(Piece { at: place.start, text: self.lines(plain) }),
            Some(b'<') => {
                let inside = &markup[SECTION_START.len()..markup.len() - SECTION_END.len()];
                (place.markup_at + SECTION_START.len(), self.lines(inside))
            }
            Some(_) => {
                let character = resolve_reference(place.start, &markup[1..markup.len() - 1]);
                (place.markup_at, Cow::Owned(character.map(String::from).unwrap_or_default()))
            }
        };
        if plain.is_empty() {
            return Some(Piece { at: inside_at, text: inside });
        }
        Some(Piece { at: place.start, text: self.lines(plain) + inside })
    }

    /// The next event, or the first fault. After a fault the reader must not be used further.
    ///
    /// What came with an event stays in the reader: to hand it out with each one takes longer than
    /// to read it.
    pub(super) fn next(&mut self) -> Result<Event, Fault> {
        self.piece = Place::default();
        if self.end_due {
            self.end_due = false;
            return Ok(self.end());
        }
        loop {
            let from = self.position();
            let rest = &self.text.as_bytes()[from..];
            let spaces = count(rest, is_space);
            let length = match rest.get(spaces) {
                // Mostly a line end between two tags.
                Some(b'<') => spaces,
                _ => memchr::memchr2(b'<', b'&', rest).unwrap_or(rest.len()),
            };
            let at = from + length;
            if length > 0 {
                self.characters(from, at)?;
                self.inner.stream().consume(length);
            }
            let read = self.inner.read_event();
            let end = self.position();
            if end > self.bad_character && read.is_ok() {
                return Err(self.bad_character_fault());
            }
            match &read {
                Ok(Raw::Start(tag)) => return self.open(at, tag.name().as_ref().len(), end, 1),
                Ok(Raw::Empty(tag)) => {
                    self.end_due = true;
                    return self.open(at, tag.name().as_ref().len(), end, 2);
                }
                Ok(Raw::End(_)) => return Ok(self.end()),
                Ok(Raw::CData(_)) => self.section(at, end)?,
                Ok(Raw::GeneralRef(_)) => self.reference(at, end)?,
                Ok(Raw::Decl(_)) => self.declaration(at, end)?,
                Ok(Raw::PI(instruction)) => check_instruction(at, instruction.target())?,
                Ok(Raw::Comment(_)) => {}
                // Cannot be: what stands in front of the markup is taken already.
                Ok(Raw::Text(_)) => return Err(Fault::malformed(at, "markup")),
                Ok(Raw::DocType(_)) => return Err(document_type(at)),
                Ok(Raw::Eof) => return self.done(at),
                Err(error) => return Err(self.fault_of(at, error)),
            }
            if self.piece.start < self.piece.end {
                return Ok(Event::Text);
            }
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.inner.buffer_position()).unwrap_or(self.text.len())
    }

    /// Whether the root is read already.
    fn is_rooted(&self) -> bool {
        self.elements > 0
    }

    fn open(
        &mut self,
        at: usize,
        name_length: usize,
        end: usize,
        closing: usize,
    ) -> Result<Event, Fault> {
        if self.depth == 0 && self.is_rooted() {
            return Err(
                Fault::malformed(at, "the end of the document").with_found("a second root element")
            );
        }
        self.text_run = 0;
        self.depth += 1;
        self.elements += 1;
        check_size(at, self.depth, self.limits.depth, "elements inside each other")?;
        check_size(at, self.elements, self.limits.elements, "elements")?;
        check_size(at, end - at, self.limits.tag, "bytes in a tag")?;
        let name = &self.text[at + 1..at + 1 + name_length];
        let attributes_at = at + 1 + name_length;
        let attributes = &self.text[attributes_at..end - closing];
        self.attributes.clear();
        if !attributes.is_empty() {
            let limit = self.limits.attributes;
            read_attributes(attributes_at, attributes, limit, &mut self.attributes)?;
            self.namespaces.declare(self.depth, &self.attributes)?;
            let declared = self.namespaces.count();
            check_size(at, declared, self.limits.namespaces, "namespace declarations")?;
        }
        let (prefix, local) = split_name(name)
            .ok_or_else(|| Fault::malformed(at, "an element name").with_found(name))?;
        let namespace = self.namespaces.resolve(at, prefix)?;
        if self.attributes.len() > 1 {
            self.namespaces.check_unique(&self.attributes)?;
        }
        self.start = Start { local, namespace, at, content_at: end };
        Ok(Event::Start)
    }

    fn end(&mut self) -> Event {
        self.namespaces.leave(self.depth);
        self.depth = self.depth.saturating_sub(1);
        self.text_run = 0;
        Event::End
    }

    /// Takes the text up to the next markup. quick-xml would make an event of its own of it and
    /// check its UTF-8 once more, for what is mostly a line end between two tags.
    fn characters(&mut self, at: usize, end: usize) -> Result<(), Fault> {
        if end > self.bad_character {
            return Err(self.bad_character_fault());
        }
        let raw = &self.text[at..end];
        if self.depth == 0 {
            if let Some(offset) = raw.bytes().position(|byte| !is_space(byte)) {
                let place =
                    if self.is_rooted() { "the end of the document" } else { "a root element" };
                return Err(
                    Fault::malformed(at + offset, place).with_found("text outside of the root")
                );
            }
            return Ok(());
        }
        if self.has_bracket
            && let Some(offset) = memchr::memmem::find(raw.as_bytes(), SECTION_END)
        {
            return Err(Fault::malformed(at + offset, "']]&gt;' in text").with_found("]]>"));
        }
        self.piece = Place { start: at, markup_at: end, end };
        self.run(at, raw.len())
    }

    fn section(&mut self, at: usize, end: usize) -> Result<(), Fault> {
        if self.depth == 0 {
            return Err(Fault::malformed(at, "a root element").with_found("a CDATA section"));
        }
        self.run(at, end - at - SECTION_START.len() - SECTION_END.len())?;
        self.add_markup(at, end);
        Ok(())
    }

    fn reference(&mut self, at: usize, end: usize) -> Result<(), Fault> {
        let name = &self.text[at + 1..end - 1];
        resolve_reference(at, name)?;
        if self.depth == 0 {
            return Err(
                Fault::malformed(at, "a root element").with_found("text outside of the root")
            );
        }
        self.run(at, end - at)?;
        self.add_markup(at, end);
        Ok(())
    }

    fn add_markup(&mut self, at: usize, end: usize) {
        let start = if self.piece.end == 0 { at } else { self.piece.start };
        self.piece = Place { start, markup_at: at, end };
    }

    /// Text as it is read: line ends are `\n`.
    fn lines(&self, raw: &'a str) -> Cow<'a, str> {
        if self.has_carriage_return { normalise_lines(raw) } else { Cow::Borrowed(raw) }
    }

    fn run(&mut self, at: usize, length: usize) -> Result<(), Fault> {
        self.text_run += length;
        check_size(at, self.text_run, self.limits.text, "bytes of text")
    }

    fn declaration(&mut self, at: usize, end: usize) -> Result<(), Fault> {
        if at != 0 {
            return Err(Fault::malformed(at, "the XML declaration at the very start"));
        }
        let inside = at + "<?xml".len();
        self.attributes.clear();
        let pseudo = &self.text[inside..end - "?>".len()];
        read_attributes(inside, pseudo, self.limits.attributes, &mut self.attributes)?;
        let known = ["version", "encoding", "standalone"];
        if let Some(odd) = self.attributes.iter().find(|part| !known.contains(&part.name)) {
            return Err(
                Fault::malformed(odd.at, "version, encoding or standalone").with_found(odd.name)
            );
        }
        match self.attributes.first() {
            Some(part) if part.name == "version" && part.raw == "1.0" => Ok(()),
            Some(part) if part.name == "version" => {
                let expected = "XML version 1.0".to_owned();
                Err(Fault::new(FailureCode::ForbiddenXml, part.at, expected).with_found(part.raw))
            }
            Some(_) | None => {
                Err(Fault::malformed(at, "an XML declaration that begins with its version"))
            }
        }
    }

    fn done(&self, at: usize) -> Result<Event, Fault> {
        if self.depth > 0 {
            let expected = format!("the end tags of {} open elements", self.depth);
            return Err(Fault::malformed(at, &expected).with_found("the end of the message"));
        }
        if !self.is_rooted() {
            return Err(Fault::malformed(at, "a root element").with_found("the end of the message"));
        }
        Ok(Event::Done)
    }

    fn bad_character_fault(&self) -> Fault {
        let character = self.text[self.bad_character..].chars().next().unwrap_or_default();
        Fault::malformed(self.bad_character, "characters that XML allows")
            .with_found(&format!("U+{:04X}", u32::from(character)))
    }

    fn fault_of(&self, at: usize, error: &quick_xml::Error) -> Fault {
        let rest = &self.text.as_bytes()[at.min(self.text.len())..];
        let opening = &rest[..rest.len().min("<!DOCTYPE".len())];
        if opening.eq_ignore_ascii_case(b"<!DOCTYPE") {
            return document_type(at);
        }
        if self.bad_character < self.text.len() && self.bad_character <= self.position() {
            return self.bad_character_fault();
        }
        let place = usize::try_from(self.inner.error_position()).unwrap_or(at);
        Fault::malformed(place, &format!("well-formed XML ({error})"))
    }
}

/// Fails if there is more than a limit allows.
pub(super) fn check_size(at: usize, size: usize, limit: usize, what: &str) -> Result<(), Fault> {
    if size <= limit { Ok(()) } else { Err(too_large(at, limit, what)) }
}

#[cold]
fn too_large(at: usize, limit: usize, what: &str) -> Fault {
    Fault::new(FailureCode::TooLarge, at, format!("at most {limit} {what}"))
}

fn document_type(at: usize) -> Fault {
    let expected = "no document type declaration".to_owned();
    Fault::new(FailureCode::ForbiddenXml, at, expected).with_found("<!DOCTYPE")
}

fn check_instruction(at: usize, target: &str) -> Result<(), Fault> {
    if target.eq_ignore_ascii_case("xml") || !is_name(target) {
        return Err(Fault::malformed(at, "the name of a processing instruction").with_found(target));
    }
    Ok(())
}
