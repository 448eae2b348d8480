//! Reads what the bridge wrote, the way another system would: any XML reader, no mapping.

use quick_xml::NsReader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::name::ResolveResult;

/// A message as a flat list of its leaves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Reading {
    /// The local name of the root.
    pub root: String,
    /// The namespace of the root.
    pub namespace: String,
    /// Local name and text of every element without children, in document order.
    leaves: Vec<(String, String)>,
}

impl Reading {
    /// Reads a message, or tells why it cannot be read.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut reading = Self::default();
        let mut depth = 0_u32;
        let mut leaf: Option<String> = None;
        loop {
            let (namespace, event) =
                reader.read_resolved_event().map_err(|error| error.to_string())?;
            match event {
                Event::Start(start) => {
                    if depth == 0 {
                        start.local_name().into_inner().clone_into(&mut reading.root);
                        if let ResolveResult::Bound(namespace) = namespace {
                            namespace.into_inner().clone_into(&mut reading.namespace);
                        }
                    }
                    depth += 1;
                    leaf = Some(String::new());
                }
                Event::End(end) => {
                    depth = depth.saturating_sub(1);
                    if let Some(text) = leaf.take() {
                        reading.leaves.push((end.local_name().into_inner().to_owned(), text));
                    }
                }
                Event::Text(text) => append(leaf.as_mut(), &text.xml10_content()),
                Event::CData(text) => append(leaf.as_mut(), &text.xml10_content()),
                Event::GeneralRef(reference) => append(leaf.as_mut(), &resolved(&reference)?),
                Event::Eof if reading.root.is_empty() => return Err("there is no element".into()),
                Event::Eof if depth > 0 => return Err("it ends in the middle".into()),
                Event::Eof => return Ok(reading),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) => {}
                Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// The text of the first element of this name; an empty one counts as absent.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let found = self.leaves.iter().find(|(leaf, text)| leaf == name && !text.is_empty());
        found.map(|(_, text)| text.as_str())
    }

    /// The number after the last `, rev ` in any text: the revision that billing's stand-in gave.
    pub(super) fn revision(&self) -> Option<u32> {
        self.leaves.iter().find_map(|(_, text)| text.rsplit_once(", rev ")?.1.trim().parse().ok())
    }
}

fn append(leaf: Option<&mut String>, text: &str) {
    if let Some(leaf) = leaf {
        leaf.push_str(text);
    }
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character.to_string());
    }
    let name = reference.xml10_content();
    resolve_xml_entity(&name).map(str::to_owned).ok_or_else(|| format!("the entity &{name};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_read_with_references_and_prefixes() {
        let text = "<?xml version=\"1.0\"?><p:a xmlns:p=\"urn:x\"><p:b>Müller &amp; S&#246;hne</p:b>\
                    <p:c/><p:d><![CDATA[<3]]>, rev 17</p:d></p:a>";
        let reading = Reading::of(text.as_bytes()).unwrap();
        assert_eq!((reading.root.as_str(), reading.namespace.as_str()), ("a", "urn:x"));
        assert_eq!(reading.first("b"), Some("Müller & Söhne"));
        assert_eq!(reading.first("c"), None);
        assert_eq!(reading.revision(), Some(17));
    }

    #[test]
    fn what_is_no_xml_is_told() {
        for wrong in ["", "text", "<a><b></a>", "<a>", "<a>&who;</a>"] {
            assert!(Reading::of(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
