//! The syntax of paths: `servicePoint/characteristics/characteristic[characteristicType=CM-PHASE]/adhocCharacteristicValue`.
//!
//! A path names elements by their local names, from the root's children on. `[child=value]`
//! chooses among repeated elements; `@name` at the end names an attribute; a leading `/` inside an
//! `each` rule starts at the root again.

use super::characters::is_name;

/// A path as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Path {
    /// Whether it began with `/`.
    pub(super) absolute: bool,
    pub(super) segments: Vec<Segment>,
}

/// One element of a path, or the attribute at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// The local name; an attribute's begins with `@`.
    pub(super) name: String,
    pub(super) test: Option<Test>,
}

/// `[child=value]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Test {
    pub(super) child: String,
    pub(super) value: String,
}

/// What is wrong with a path, and at which byte of it.
#[derive(Debug)]
pub(super) struct PathError {
    pub(super) at: usize,
    pub(super) message: String,
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        let absolute = text.starts_with('/');
        let mut at = usize::from(absolute);
        let mut segments = Vec::new();
        loop {
            let (segment, length) = Segment::parse(&text[at..]).map_err(|error| error.after(at))?;
            let attribute = segment.name.starts_with('@');
            segments.push(segment);
            at += length;
            match text.as_bytes().get(at) {
                None => return Ok(Self { absolute, segments }),
                Some(b'/') if attribute => {
                    return Err(PathError::new(at, "an attribute ends the path"));
                }
                Some(b'/') => at += 1,
                Some(_) => return Err(PathError::new(at, "after ']' only '/' may follow")),
            }
        }
    }
}

impl Segment {
    fn parse(text: &str) -> Result<(Self, usize), PathError> {
        let end = text.find(['/', '[']).unwrap_or(text.len());
        let name = &text[..end];
        if !is_name(name.strip_prefix('@').unwrap_or(name)) {
            let message = match name {
                "" => "a name is missing".to_owned(),
                name => format!("'{name}' is no element name"),
            };
            return Err(PathError { at: 0, message });
        }
        if !text[end..].starts_with('[') {
            return Ok((Self { name: name.to_owned(), test: None }, end));
        }
        let Some(length) = text[end..].find(']') else {
            return Err(PathError::new(end, "this '[' has no ']'"));
        };
        let inside = &text[end + 1..end + length];
        let Some((child, value)) = inside.split_once('=') else {
            return Err(PathError::new(end, "a choice is written [child=value]"));
        };
        if !is_name(child) || value.is_empty() {
            return Err(PathError::new(end + 1, "a choice is written [child=value]"));
        }
        let choice = Some(Test { child: child.to_owned(), value: value.to_owned() });
        Ok((Self { name: name.to_owned(), test: choice }, end + length + 1))
    }
}

impl PathError {
    fn new(at: usize, message: &str) -> Self {
        Self { at, message: message.to_owned() }
    }

    fn after(mut self, offset: usize) -> Self {
        self.at += offset;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_names_a_choice_and_an_attribute() {
        let path = Path::parse("a/b[type=CM-PHASE]/c/@unit").unwrap();
        let names: Vec<_> = path.segments.iter().map(|segment| segment.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "@unit"]);
        let test = path.segments[1].test.as_ref().unwrap();
        assert_eq!((test.child.as_str(), test.value.as_str()), ("type", "CM-PHASE"));
    }

    #[test]
    fn a_mistake_in_a_path_is_found_where_it_is() {
        for (text, at) in [
            ("", 0),
            ("a//b", 2),
            ("a/b[c", 3),
            ("a/b[c]", 3),
            ("a b", 0),
            ("a/@b/c", 4),
            ("a[b=c]d", 6),
        ] {
            assert_eq!(Path::parse(text).unwrap_err().at, at, "{text}");
        }
    }
}
