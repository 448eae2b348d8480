//! The namespaces of an XML document: which address a prefix stands for, where the reader is
//! (<https://www.w3.org/TR/xml-names/>).

use super::attributes::Attribute;
use super::xml::Fault;

const XML_ADDRESS: &str = "http://www.w3.org/XML/1998/namespace";

/// The declarations in force, the innermost last.
#[derive(Default)]
pub(super) struct Namespaces<'a>(Vec<Binding<'a>>);

struct Binding<'a> {
    depth: usize,
    prefix: &'a str,
    address: &'a str,
}

impl<'a> Namespaces<'a> {
    /// Puts the declarations of a start tag in force.
    pub(super) fn declare(
        &mut self,
        depth: usize,
        attributes: &[Attribute<'a>],
    ) -> Result<(), Fault> {
        for attribute in attributes {
            let Some(prefix) = declared_prefix(attribute.name) else { continue };
            if !prefix.is_empty() && attribute.raw.is_empty() {
                return Err(Fault::malformed(attribute.at, "the address of a namespace"));
            }
            self.0.push(Binding { depth, prefix, address: attribute.raw });
        }
        Ok(())
    }

    /// How many declarations are in force.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes the declarations of an element out of force, at its end.
    pub(super) fn leave(&mut self, depth: usize) {
        while self.0.last().is_some_and(|binding| binding.depth == depth) {
            self.0.pop();
        }
    }

    /// The address that the prefix of an element stands for; empty if it is in no namespace.
    pub(super) fn resolve(&self, at: usize, prefix: &'a str) -> Result<&'a str, Fault> {
        let mut inner_first = self.0.iter().rev();
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

    /// Fails if an element has an attribute twice, whatever its prefixes.
    pub(super) fn check_unique(&self, attributes: &[Attribute<'a>]) -> Result<(), Fault> {
        for (index, attribute) in attributes.iter().enumerate() {
            let name = self.expanded(attribute)?;
            for earlier in &attributes[..index] {
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
}

impl Attribute<'_> {
    /// Whether it declares a namespace.
    pub(super) fn declares(&self) -> bool {
        declared_prefix(self.name).is_some()
    }
}

/// The prefix that an attribute declares; empty for the default namespace.
fn declared_prefix(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("xmlns")?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(':') }
}
