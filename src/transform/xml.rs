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

use super::characters::{
    first_bad_character, is_name, is_space, normalise_lines, resolve_reference, split_name,
};
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

/// An attribute, its value as written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) raw: &'a str,
    pub(super) at: usize,
}

struct Binding<'a> {
    depth: usize,
    prefix: &'a str,
    address: &'a str,
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
    bindings: Vec<Binding<'a>>,
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

const XML_ADDRESS: &str = "http://www.w3.org/XML/1998/namespace";

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
            bindings: Vec::new(),
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
        self.attributes.iter().filter(|attribute| binding_prefix(attribute.name).is_none())
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
        Self::check_size(at, self.depth, self.limits.depth, "elements inside each other")?;
        Self::check_size(at, self.elements, self.limits.elements, "elements")?;
        Self::check_size(at, end - at, self.limits.tag, "bytes in a tag")?;
        let name = &self.text[at + 1..at + 1 + name_length];
        let attributes_at = at + 1 + name_length;
        let attributes = &self.text[attributes_at..end - closing];
        self.attributes.clear();
        if !attributes.is_empty() {
            self.read_attributes(attributes_at, attributes)?;
            self.declare()?;
        }
        let (prefix, local) = split_name(name)
            .ok_or_else(|| Fault::malformed(at, "an element name").with_found(name))?;
        let namespace = self.resolve(at, prefix)?;
        if self.attributes.len() > 1 {
            self.check_unique()?;
        }
        self.start = Start { local, namespace, at, content_at: end };
        Ok(Event::Start)
    }

    fn end(&mut self) -> Event {
        while self.bindings.last().is_some_and(|binding| binding.depth == self.depth) {
            self.bindings.pop();
        }
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
        Self::check_size(at, self.text_run, self.limits.text, "bytes of text")
    }

    fn declaration(&mut self, at: usize, end: usize) -> Result<(), Fault> {
        if at != 0 {
            return Err(Fault::malformed(at, "the XML declaration at the very start"));
        }
        let inside = at + "<?xml".len();
        self.attributes.clear();
        self.read_attributes(inside, &self.text[inside..end - "?>".len()])?;
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

    /// Reads attributes strictly: quick-xml looks at them only when asked, and then forgives much.
    fn read_attributes(&mut self, at: usize, raw: &'a str) -> Result<(), Fault> {
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
            let Some(length) = quote.and_then(|quote| memchr::memchr(quote, &bytes[next + 1..]))
            else {
                return Err(Fault::malformed(at + next, "a value in quotes"));
            };
            let value = &raw[next + 1..next + 1 + length];
            check_attribute_value(at + next + 1, value)?;
            self.attributes.push(Attribute { name, raw: value, at: at + next + 1 });
            let limit = self.limits.attributes;
            Self::check_size(at + from, self.attributes.len(), limit, "attributes of one element")?;
            next += length + 2;
        }
    }

    /// Puts the namespace declarations of the last start tag in force.
    fn declare(&mut self) -> Result<(), Fault> {
        for attribute in &self.attributes {
            let Some(prefix) = binding_prefix(attribute.name) else { continue };
            let binding = Binding { depth: self.depth, prefix, address: attribute.raw };
            if !prefix.is_empty() && attribute.raw.is_empty() {
                return Err(Fault::malformed(attribute.at, "the address of a namespace"));
            }
            self.bindings.push(binding);
        }
        let at = self.attributes.first().map_or(0, |attribute| attribute.at);
        Self::check_size(at, self.bindings.len(), self.limits.namespaces, "namespace declarations")
    }

    fn resolve(&self, at: usize, prefix: &'a str) -> Result<&'a str, Fault> {
        let mut inner_first = self.bindings.iter().rev();
        // An empty prefix is no text to compare: its address is none, and processors that compare
        // with a mask take a hundred nanoseconds to find out that there is nothing at it.
        let declared = if prefix.is_empty() {
            inner_first.find(|binding| binding.prefix.is_empty())
        } else {
            inner_first.find(|binding| binding.prefix == prefix)
        };
        match declared {
            Some(binding) => Ok(binding.address),
            None if prefix.is_empty() => Ok(""),
            None if prefix == "xml" => Ok(XML_ADDRESS),
            None => Err(Fault::malformed(at, "a prefix that is declared").with_found(prefix)),
        }
    }

    fn check_unique(&self) -> Result<(), Fault> {
        for (index, attribute) in self.attributes.iter().enumerate() {
            let name = self.expanded(attribute)?;
            for earlier in &self.attributes[..index] {
                if earlier.name == attribute.name || self.expanded(earlier)? == name {
                    let found = format!("{} twice", attribute.name);
                    return Err(
                        Fault::malformed(attribute.at, "each attribute once").with_found(&found)
                    );
                }
            }
        }
        Ok(())
    }

    fn expanded(&self, attribute: &Attribute<'a>) -> Result<(&'a str, &'a str), Fault> {
        match attribute.name.split_once(':') {
            Some(("xmlns", local)) => Ok(("xmlns", local)),
            Some((prefix, local)) => Ok((self.resolve(attribute.at, prefix)?, local)),
            // An attribute without a prefix is in no namespace, not in the default one.
            None => Ok(("", attribute.name)),
        }
    }

    fn check_size(at: usize, size: usize, limit: usize, what: &str) -> Result<(), Fault> {
        if size <= limit { Ok(()) } else { Err(too_large(at, limit, what)) }
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

fn check_attribute_value(at: usize, value: &str) -> Result<(), Fault> {
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

fn count(bytes: &[u8], accept: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !accept(*byte)).unwrap_or(bytes.len())
}

/// The prefix that an attribute declares; empty for the default namespace.
fn binding_prefix(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("xmlns")?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(':') }
}
