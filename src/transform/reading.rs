//! What was found of a message: the elements that the mappings ask for, in document order.
//!
//! One pass over the document fills two flat lists; nothing else of it is kept. Values are slices
//! of the document wherever they stand in it in one piece.

use std::borrow::Cow;

use super::characters::{attribute_value, is_space};
use super::source::{NodeId, Source, Tree};
use super::xml::{Event, Fault, Limits, Reader, Start};

/// The place of an element in a [`Reading`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Found(u32);

impl Found {
    pub(super) const ROOT: Self = Self(0);
    const NONE: Self = Self(u32::MAX);

    fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Element<'a> {
    node: NodeId,
    parent: Found,
    /// The first element after this one and all inside it; none while it is open.
    end: Found,
    /// The next element of the same name at the same place.
    next: Found,
    at: usize,
    content_at: usize,
    text: Cow<'a, str>,
}

/// An element that no mapping asks for.
#[derive(Debug)]
pub(super) struct Unknown<'a> {
    pub(super) parent: NodeId,
    pub(super) name: &'a str,
    pub(super) at: usize,
}

/// How many unknown elements are remembered for a strict mapping.
const UNKNOWN_MAX: usize = 100;

/// How many choices a path can have.
pub(super) const CHOICES_MAX: usize = 4;

/// How few bytes an element takes that is kept, mostly.
const BYTES_PER_ELEMENT: usize = 32;

type Known = [Option<(Found, bool)>; CHOICES_MAX];

#[derive(Debug)]
pub(super) struct Reading<'a> {
    elements: Vec<Element<'a>>,
    /// First and last element of each name in the tree.
    chains: Vec<(Found, Found)>,
    pub(super) unknown: Vec<Unknown<'a>>,
}

/// Reads a document. `tree_of` says what to keep of it, by its root.
pub(super) fn read<'a, 't>(
    text: &'a str,
    limits: Limits,
    tree_of: impl FnOnce(&Start<'a>) -> Option<&'t Tree>,
) -> (Option<Reading<'a>>, Result<(), Fault>) {
    let mut reader = Reader::new(text, limits);
    match reader.next() {
        Ok(Event::Start) => {}
        Ok(Event::Text | Event::End | Event::Done) => return (None, Ok(())),
        Err(fault) => return (None, Err(fault)),
    }
    let root = *reader.start();
    let Some(tree) = tree_of(&root) else { return (None, pass_over(&mut reader)) };
    let mut reading = Reading::begun(tree, text.len());
    reading.unknown.reserve(UNKNOWN_MAX.min(text.len() / BYTES_PER_ELEMENT));
    reading.open(NodeId::ROOT, Found::NONE, root.at, root.content_at);
    reading.keep_attributes(tree, Found::ROOT, &reader);
    let read = reading.fill(&mut reader, tree, root.namespace);
    (Some(reading), read)
}

/// A document that nobody knows is still read to its end: its faults are told first.
fn pass_over(reader: &mut Reader<'_>) -> Result<(), Fault> {
    loop {
        if let Event::Done = reader.next()? {
            return Ok(());
        }
    }
}

impl<'a> Reading<'a> {
    pub(super) fn begun(tree: &Tree, size: usize) -> Self {
        Self {
            elements: Vec::with_capacity(size / BYTES_PER_ELEMENT + 8),
            chains: vec![(Found::NONE, Found::NONE); tree.len()],
            unknown: Vec::new(),
        }
    }

    fn fill(&mut self, reader: &mut Reader<'a>, tree: &Tree, home: &'a str) -> Result<(), Fault> {
        let mut current = Found::ROOT;
        let mut keeps_text = tree.keeps_text(NodeId::ROOT);
        let mut passing_over = 0_usize;
        loop {
            let event = reader.next()?;
            if keeps_text
                && passing_over == 0
                && let Some(piece) = reader.piece()
            {
                self.append(current, piece.at, piece.text);
            }
            match event {
                Event::Start if passing_over > 0 => passing_over += 1,
                Event::Start => {
                    let start = reader.start();
                    let parent = self.elements[current.index()].node;
                    let child = tree.child(parent, start.local);
                    // Mostly it is the very same declaration.
                    let is_home = std::ptr::eq(start.namespace, home) || start.namespace == home;
                    match child.filter(|_| is_home) {
                        Some(node) if !tree.is_ignored(node) => {
                            current = self.open(node, current, start.at, start.content_at);
                            keeps_text = tree.keeps_text(node);
                            self.keep_attributes(tree, current, reader);
                        }
                        known => {
                            passing_over = 1;
                            if known.is_none() && self.unknown.len() < UNKNOWN_MAX {
                                let (name, at) = (start.local, start.at);
                                self.unknown.push(Unknown { parent, name, at });
                            }
                        }
                    }
                }
                Event::End if passing_over > 0 => passing_over -= 1,
                Event::End => {
                    current = self.close(current);
                    keeps_text = tree.keeps_text(self.elements[current.index()].node);
                }
                Event::Text => {}
                Event::Done => return Ok(()),
            }
        }
    }

    /// Begins a document that is written down instead of read.
    pub(super) fn open_root(&mut self) -> Found {
        self.open(NodeId::ROOT, Found::NONE, 0, 0)
    }

    pub(super) fn open(
        &mut self,
        node: NodeId,
        parent: Found,
        at: usize,
        content_at: usize,
    ) -> Found {
        let found = Found(u32::try_from(self.elements.len()).unwrap_or(u32::MAX));
        let text = Cow::Borrowed("");
        let (end, next) = (Found::NONE, Found::NONE);
        self.elements.push(Element { node, parent, end, next, at, content_at, text });
        let (first, last) = &mut self.chains[node.index()];
        let before = std::mem::replace(last, found);
        if before == Found::NONE {
            *first = found;
        } else {
            self.elements[before.index()].next = found;
        }
        found
    }

    pub(super) fn close(&mut self, found: Found) -> Found {
        let end = Found(u32::try_from(self.elements.len()).unwrap_or(u32::MAX));
        let element = &mut self.elements[found.index()];
        element.end = end;
        if element.parent == Found::NONE { Found::ROOT } else { element.parent }
    }

    pub(super) fn append(&mut self, found: Found, at: usize, text: Cow<'a, str>) {
        let element = &mut self.elements[found.index()];
        if element.text.is_empty() {
            element.content_at = at;
            element.text = text;
        } else {
            element.text.to_mut().push_str(&text);
        }
    }

    fn keep_attributes(&mut self, tree: &Tree, found: Found, reader: &Reader<'a>) {
        let node = self.elements[found.index()].node;
        for (child, name) in tree.attributes(node) {
            let attribute = reader.attributes().find(|attribute| attribute.name == name);
            if let Some(attribute) = attribute {
                let kept = self.open(child, found, attribute.at, attribute.at);
                self.append(kept, attribute.at, attribute_value(attribute.raw));
                self.close(kept);
            }
        }
    }

    /// All elements, in document order.
    pub(super) fn all(&self) -> impl Iterator<Item = Found> {
        (0..).map(Found).take(self.elements.len())
    }

    pub(super) fn node(&self, found: Found) -> NodeId {
        self.elements[found.index()].node
    }

    /// The elements that a path leads to, in document order, inside `within`.
    pub(super) fn find<'r>(
        &'r self,
        source: &'r Source,
        within: Found,
    ) -> impl Iterator<Item = Found> + 'r {
        let whole = within == Found::ROOT || source.from_root;
        let mut next = self.chains[source.node.index()].0;
        // The chain leads through the whole document; inside an `each` only a part of it counts.
        let mut scan = if whole { 0..0 } else { within.0 + 1..self.end_of(within) };
        std::iter::from_fn(move || {
            if !whole {
                return scan.find(|at| self.elements[*at as usize].node == source.node).map(Found);
            }
            let found = next;
            next = self.elements.get(found.index())?.next;
            Some(found)
        })
        .filter({
            // Neighbours mostly share the element that a choice is about: it is looked at once.
            let mut known = [None; CHOICES_MAX];
            move |found| self.is_chosen(*found, source, &mut known)
        })
    }

    fn end_of(&self, found: Found) -> u32 {
        let end = self.elements[found.index()].end;
        if end == Found::NONE {
            u32::try_from(self.elements.len()).unwrap_or(u32::MAX)
        } else {
            end.0
        }
    }

    fn is_chosen(&self, found: Found, source: &Source, known: &mut Known) -> bool {
        source.tests.iter().zip(known).all(|(choice, known)| {
            let mut element = found;
            while self.elements[element.index()].node != choice.element {
                element = self.elements[element.index()].parent;
                if element == Found::NONE {
                    return false;
                }
            }
            if let Some((_, chosen)) = known.filter(|(looked_at, _)| *looked_at == element) {
                return chosen;
            }
            let inside = &self.elements[element.index() + 1..self.end_of(element) as usize];
            let mut children = inside.iter().filter(|child| child.node == choice.child);
            let chosen = children.any(|child| trimmed(&child.text) == &*choice.value);
            *known = Some((element, chosen));
            chosen
        })
    }

    /// The text of an element, as it stands in the document.
    pub(super) fn text(&self, found: Found) -> &str {
        &self.elements[found.index()].text
    }

    /// Whether the document went on after the element: only then its text is known to be whole.
    pub(super) fn is_whole(&self, found: Found) -> bool {
        self.elements[found.index()].end != Found::NONE
    }

    /// Where the element begins, in bytes.
    pub(super) fn at(&self, found: Found) -> usize {
        self.elements[found.index()].at
    }

    /// Where the text of the element begins, in bytes, without the white space in front of it.
    pub(super) fn text_at(&self, found: Found) -> usize {
        let element = &self.elements[found.index()];
        match element.text.bytes().position(|byte| !is_space(byte)) {
            Some(spaces) => element.content_at + spaces,
            None => element.at,
        }
    }

    /// Where the nearest element around a missing one begins: there it should stand.
    pub(super) fn gap_at(&self, tree: &Tree, source: &Source, within: Found) -> usize {
        let mut node = source.node;
        while node != NodeId::ROOT {
            node = tree.parent(node);
            let around = Source {
                node,
                tests: source
                    .tests
                    .iter()
                    .filter(|test| is_above(tree, test.element, node))
                    .cloned()
                    .collect(),
                from_root: source.from_root,
                shown: Box::default(),
            };
            if self.elements[within.index()].node == node && !source.from_root {
                return self.at(within);
            }
            if let Some(found) = self.find(&around, within).next() {
                return self.at(found);
            }
        }
        self.elements.first().map_or(0, |root| root.at)
    }
}

/// Whether `upper` is `node` or stands above it.
fn is_above(tree: &Tree, upper: NodeId, mut node: NodeId) -> bool {
    loop {
        if node == upper {
            return true;
        }
        if node == NodeId::ROOT {
            return false;
        }
        node = tree.parent(node);
    }
}

/// Without the white space of XML around it. Other white space is part of a value.
pub(super) fn trimmed(text: &str) -> &str {
    trimmed_end(trimmed_start(text))
}

pub(super) fn trimmed_start(text: &str) -> &str {
    let start = text.bytes().position(|byte| !is_space(byte));
    &text[start.unwrap_or(text.len())..]
}

pub(super) fn trimmed_end(text: &str) -> &str {
    let last = text.bytes().rposition(|byte| !is_space(byte));
    &text[..last.map_or(0, |last| last + 1)]
}
