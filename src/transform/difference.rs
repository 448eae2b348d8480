//! Differences between what was expected and what came out, made for people.

use super::encoding::{ContentType, decode};
use super::xml::{Event, Limits, Reader};

const INDENT: &str = "  ";

/// How many lines that are equal are shown around those that differ.
const CONTEXT: usize = 2;

/// How many lines are compared; beyond that only the first that differs is shown.
const LINES_MAX: usize = 2_000;

/// Lays out a document, one element a line, so that documents compare whatever their white space
/// between elements is. What cannot be read is given as it stands.
pub fn pretty_xml(document: &[u8]) -> String {
    lay_out(document).unwrap_or_else(|| String::from_utf8_lossy(document).into_owned())
}

fn lay_out(document: &[u8]) -> Option<String> {
    let limits = Limits::default();
    let decoded = decode(document, &ContentType::default(), &limits).ok()?;
    let mut reader = Reader::new(&decoded.text, limits);
    let mut out = String::new();
    // The open elements by name, and whether anything stands in them yet.
    let mut open: Vec<(String, bool)> = Vec::new();
    let mut namespaces = vec![String::new()];
    let mut text = String::new();
    loop {
        let event = reader.next().ok()?;
        text.extend(reader.piece().map(|piece| piece.text));
        match event {
            Event::Start => {
                let start = reader.start();
                if let Some((_, filled)) = open.last_mut()
                    && !std::mem::replace(filled, true)
                {
                    out.push_str(">\n");
                }
                text.clear();
                out.extend([&*INDENT.repeat(open.len()), "<", start.local]);
                if namespaces.last().is_none_or(|namespace| namespace != start.namespace) {
                    out.extend([" xmlns=\"", start.namespace, "\""]);
                }
                for attribute in reader.attributes() {
                    out.extend([" ", attribute.name, "=\"", attribute.raw, "\""]);
                }
                namespaces.push(start.namespace.to_owned());
                open.push((start.local.to_owned(), false));
            }
            Event::Text => {}
            Event::End => {
                let (name, filled) = open.pop()?;
                namespaces.pop();
                if filled {
                    out.extend([&*INDENT.repeat(open.len()), "</", &name, ">\n"]);
                } else if text.is_empty() {
                    out.push_str("/>\n");
                } else {
                    out.extend([">", &escaped(&text), "</", &name, ">\n"]);
                }
                text.clear();
            }
            Event::Done => return Some(out),
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    super::write::escape_into(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// The lines that differ, with `-` for what was expected and `+` for what came; none if nothing
/// does.
pub(super) fn difference(expected: &str, actual: &str) -> Option<String> {
    if expected == actual {
        return None;
    }
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    if old.len().max(new.len()) > LINES_MAX {
        let at = old.iter().zip(&new).position(|(old, new)| old != new);
        let at = at.unwrap_or_else(|| old.len().min(new.len()));
        let line = |lines: &[&str]| lines.get(at).copied().unwrap_or("(the end)").to_owned();
        return Some(format!("@@ line {} @@\n-{}\n+{}\n", at + 1, line(&old), line(&new)));
    }
    Some(render(&edits(&old, &new)))
}

/// One line of a difference: `' '`, `'-'` or `'+'`, and the text.
type Edit<'l> = (char, &'l str);

/// The shortest way from the old lines to the new, by their longest common subsequence.
fn edits<'l>(old: &[&'l str], new: &[&'l str]) -> Vec<Edit<'l>> {
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for (row, old_line) in old.iter().enumerate().rev() {
        for (column, new_line) in new.iter().enumerate().rev() {
            let at = row * width + column;
            common[at] = if old_line == new_line {
                common[at + width + 1] + 1
            } else {
                common[at + width].max(common[at + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut edits = Vec::with_capacity(old.len() + new.len());
    while row < old.len() || column < new.len() {
        let at = row * width + column;
        if row < old.len() && column < new.len() && old[row] == new[column] {
            edits.push((' ', old[row]));
            (row, column) = (row + 1, column + 1);
        } else if column == new.len() || (row < old.len() && common[at + width] >= common[at + 1]) {
            edits.push(('-', old[row]));
            row += 1;
        } else {
            edits.push(('+', new[column]));
            column += 1;
        }
    }
    edits
}

fn render(edits: &[Edit<'_>]) -> String {
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        let to = (at + CONTEXT + 1).min(edits.len());
        edits[from..to].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut out = String::new();
    let mut line = 1;
    let mut gap = true;
    for (at, (sign, text)) in edits.iter().enumerate() {
        if near(at) {
            if gap {
                out.extend(["@@ line ", &line.to_string(), " @@\n"]);
            }
            out.push(*sign);
            out.extend([text, "\n"]);
            gap = false;
        } else {
            gap = true;
        }
        line += usize::from(*sign != '+');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_lines_around_it() {
        let shown = difference("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\ne\nf\n").unwrap();
        assert_eq!(shown, "@@ line 2 @@\n b\n c\n-d\n+D\n e\n f\n");
        assert_eq!(difference("a\n", "a\n"), None);
    }

    #[test]
    fn documents_compare_whatever_their_layout_is() {
        let compact = pretty_xml(b"<a xmlns='urn:x'><b>1 &amp; 2</b><c/></a>");
        let spaced =
            pretty_xml(b"<p:a xmlns:p='urn:x'>\n <p:b>1 <![CDATA[&]]> 2</p:b>\n <p:c></p:c></p:a>");
        assert_eq!(compact, spaced);
        assert_eq!(compact, "<a xmlns=\"urn:x\">\n  <b>1 &amp; 2</b>\n  <c/>\n</a>\n");
    }
}
