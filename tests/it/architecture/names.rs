//! What a source file names: modules of this crate as `crate::x`, other crates by their root, paths
//! of the standard library, macros with their `!`.
//!
//! Not a parser of Rust: it knows comments, texts, braces and paths, and that is enough.

use std::collections::BTreeSet;

/// Every name in a source file, test code left out.
pub(super) fn of(relative: &str, source: &str) -> Vec<String> {
    let code = without_tests(&without_texts(source));
    let mut names = BTreeSet::new();
    for path in paths(&code) {
        let path = absolute(relative, &path);
        let parts: Vec<_> = path.split("::").collect();
        names.insert(parts[0].to_owned());
        for length in 2..=parts.len().min(3) {
            names.insert(parts[..length].join("::"));
        }
    }
    names.into_iter().collect()
}

/// Blanks comments and the contents of texts and characters.
fn without_texts(source: &str) -> String {
    let chars: Vec<_> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = text_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.push(' ');
            at = end;
        }
    }
    code
}

/// Where the comment, text or character that begins here ends; `at` if none begins here.
fn text_end(chars: &[char], at: usize) -> usize {
    let find = |from: usize, what: &str| {
        let what: Vec<_> = what.chars().collect();
        let found = chars[from.min(chars.len())..].windows(what.len()).position(|w| w == what);
        found.map_or(chars.len(), |offset| from + offset + what.len())
    };
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], chars.get(at + 1)) {
        ('/', Some('/')) => find(at, "\n"),
        ('/', Some('*')) => find(at + 2, "*/"),
        ('r', Some('"' | '#')) if !word_before => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            match chars.get(at + 1 + hashes) {
                Some('"') => find(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes))),
                _ => at,
            }
        }
        ('"', _) => quoted_end(chars, at, '"'),
        ('\'', Some('\\')) => quoted_end(chars, at, '\''),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Cuts out every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let end = after.find([';', '{']).unwrap_or(after.len());
        rest = if after[end..].starts_with('{') {
            &after[end + block_length(&after[end..])..]
        } else {
            &after[end..]
        };
    }
    kept + rest
}

/// How long the block in braces is that a text begins with.
fn block_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, char) in code.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Every path as written, groups in braces multiplied out, and every macro.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        // A word after `::` belongs to a path that was found with its root.
        let inside_path = rest[..start].ends_with("::");
        let tail = &rest[start..];
        let word = &tail[..tail.find(|char| !is_word(char)).unwrap_or(tail.len())];
        let after = &tail[word.len()..];
        if !inside_path {
            if after.starts_with("::") {
                found.extend(expand(tail));
            } else if after.starts_with('!') && !after.starts_with("!=") {
                found.push(format!("{word}!"));
            } else if word == "use" {
                found.extend(expand(after.trim_start()));
            }
        }
        rest = after;
    }
    found
}

/// The paths that a text begins with: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(code: &str) -> Vec<String> {
    let is_path = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
    let head = &code[..code.find(|char| !is_path(char)).unwrap_or(code.len())];
    let after = &code[head.len()..];
    if !(head.ends_with("::") && after.starts_with('{')) {
        return vec![head.trim_end_matches("::").to_owned()];
    }
    let group = &after[1..block_length(after).saturating_sub(1).max(1)];
    members(group)
        .iter()
        .flat_map(|member| expand(member))
        .map(|tail| format!("{head}{tail}"))
        .collect()
}

/// What stands between the commas of a group, groups in it left whole.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(group[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(group[start..].trim());
    found
}

/// A path from the root of the crate: `super::` is resolved by the place of the file.
fn absolute(relative: &str, path: &str) -> String {
    let supers = path.split("::").take_while(|part| *part == "super").count();
    let module = relative.trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = module.split('/').count();
    if supers == 0 || supers < depth {
        return path.to_owned();
    }
    let tail: Vec<_> = path.split("::").skip(supers).collect();
    format!("crate::{}", tail.join("::"))
}
