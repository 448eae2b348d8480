//! XML as a system outside the bridge reads it: names, namespaces and text.

use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;

/// An element with what is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) children: Vec<Element>,
    text: String,
}

impl Element {
    /// Reads a document; fails if it is not well formed.
    pub(crate) fn read(text: &str) -> Self {
        let mut reader = NsReader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            let (namespace, event) = reader.read_resolved_event().unwrap();
            let namespace = match namespace {
                ResolveResult::Bound(namespace) => namespace.as_ref().to_owned(),
                ResolveResult::Unbound | ResolveResult::Unknown(_) => String::new(),
            };
            match event {
                Event::Start(tag) => open.push(Self::named(tag.local_name().as_ref(), namespace)),
                Event::Empty(tag) => {
                    let element = Self::named(tag.local_name().as_ref(), namespace);
                    open.last_mut().unwrap().children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(element);
                }
                Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
                Event::GeneralRef(reference) => {
                    let character = match reference.resolve_char_ref().unwrap() {
                        Some(character) => character.to_string(),
                        None => predefined(&reference).to_owned(),
                    };
                    open.last_mut().unwrap().text.push_str(&character);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(open.len(), 1, "every element is closed: {text}");
        open.remove(0).children.remove(0)
    }

    fn named(name: &str, namespace: String) -> Self {
        Self { name: name.to_owned(), namespace, ..Self::default() }
    }

    /// The elements at a path of local names.
    pub(crate) fn find(&self, path: &str) -> Vec<Self> {
        let mut found = vec![self.clone()];
        for name in path.split('/') {
            let children = found.into_iter().flat_map(|element| element.children);
            found = children.filter(|child| child.name == name).collect();
        }
        found
    }

    /// The text of the first element at a path; "" if there is none.
    pub(crate) fn at(&self, path: &str) -> String {
        self.find(path).first().map(|element| element.text.trim().to_owned()).unwrap_or_default()
    }
}

fn predefined(name: &str) -> &'static str {
    match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "\u{fffd}",
    }
}
