//! Checks of single parts of a rule, made when a mapping is loaded.

use std::borrow::Cow;

use super::diagnostic::{File, Problems};
use super::rule::{Finish, Form};
use super::toml_tree::{Fields, Text, nearest};
use super::values::{BooleanForm, DateForm, Length, NumberForm, Over, Pad};

/// Every key that a rule can have.
pub(super) const RULE_KEYS: &[&str] = &[
    "to",
    "from",
    "concat",
    "separator",
    "const",
    "default",
    "required",
    "keep_empty",
    "when",
    "pick",
    "trim",
    "map",
    "date",
    "number",
    "boolean",
    "pad",
    "length",
    "over",
];

/// What goes without saying for a value that is always the same.
const NOT_WITH_CONST: &[&str] = &[
    "default",
    "required",
    "keep_empty",
    "pick",
    "trim",
    "map",
    "date",
    "number",
    "boolean",
    "pad",
    "over",
];

/// Keys that contradict each other, or mean nothing without another.
pub(super) fn combinations(fields: &Fields<'_>, problems: &mut Problems) {
    let file = fields.file;
    let givers: Vec<_> =
        ["from", "concat", "const"].into_iter().filter(|key| fields.has(key)).collect();
    match givers.as_slice() {
        [_] => {}
        [] => {
            let help = "add from = \"…\", concat = [\"…\"] or const = \"…\"";
            problems.error(file, fields.span.clone(), "the rule has nothing to write", help);
        }
        [first, second, ..] => {
            let message = format!("the rule has both '{first}' and '{second}'");
            problems.error(file, fields.key_span(second), message, "keep one of them");
        }
    }
    if fields.has("const") {
        for key in NOT_WITH_CONST.iter().filter(|key| fields.has(key)) {
            let message = format!("'{key}' means nothing beside 'const'");
            problems.error(file, fields.key_span(key), message, "a constant is written as it is");
        }
    }
    if fields.has("separator") && !fields.has("concat") {
        let help = "use it together with concat = [\"…\", \"…\"]";
        problems.error(file, fields.key_span("separator"), "'separator' without 'concat'", help);
    }
    if fields.has("over") && !fields.has("length") {
        let help = "add length = … to say how long is too long";
        problems.error(file, fields.key_span("over"), "'over' without 'length'", help);
    }
    let kinds: Vec<_> =
        ["date", "number", "boolean"].into_iter().filter(|key| fields.has(key)).collect();
    if let [first, second, ..] = kinds.as_slice() {
        let message = format!("a value cannot be both {first} and {second}");
        problems.error(file, fields.key_span(second), message, "keep one of them");
    }
}

/// Reads one of a few words.
pub(super) fn word<'w>(
    fields: &Fields<'_>,
    key: &str,
    words: &[&'w str],
    problems: &mut Problems,
) -> Option<&'w str> {
    let text = fields.text(key, problems)?;
    let found = words.iter().copied().find(|word| *word == text.value);
    if found.is_none() {
        let help = match nearest(text.value, words) {
            Some(word) => format!("did you mean '{word}'?"),
            None => format!("write one of {}", words.join(", ")),
        };
        let message = format!("'{}' is no word for '{key}'", text.value);
        problems.error(fields.file, text.span, message, help);
    }
    found
}

pub(super) fn length(fields: &Fields<'_>, problems: &mut Problems) -> Option<Length> {
    let over = match word(fields, "over", &["refuse", "truncate"], problems) {
        Some("truncate") => Over::Truncate,
        Some(_) | None => Over::Refuse,
    };
    fields.count("length", 1, problems).map(|max| Length { max, over })
}

pub(super) fn pad(fields: &Fields<'_>, problems: &mut Problems) -> Option<Pad> {
    if !fields.has("pad") {
        return None;
    }
    let pad = fields.table("pad", problems)?;
    pad.check_keys(&["to", "with", "side"], problems);
    if !pad.has("to") {
        problems.error(
            pad.file,
            pad.span.clone(),
            "'to' is missing",
            "add to = 10, the length to reach",
        );
    }
    let left = word(&pad, "side", &["left", "right"], problems) == Some("left");
    let with = pad.text("with", problems);
    let with = with.map_or(Some(' '), |with| {
        let mut characters = with.value.chars();
        let one = characters.next().filter(|_| characters.next().is_none());
        if one.is_none() {
            let message = format!("'{}' is not one character", with.value);
            problems.error(pad.file, with.span, message, "write with = \"0\"");
        }
        one
    });
    Some(Pad { length: pad.count("to", 1, problems)?, with: with?, left })
}

/// What kind of value the rule takes.
pub(super) fn form(fields: &Fields<'_>, problems: &mut Problems) -> Option<Form> {
    if fields.has("date") {
        return date(fields, problems);
    }
    if fields.has("number") {
        return number(fields, problems);
    }
    if fields.has("boolean") {
        return boolean(fields, problems);
    }
    None
}

fn date(fields: &Fields<'_>, problems: &mut Problems) -> Option<Form> {
    if fields.is_text("date") {
        let text = fields.text("date", problems)?;
        let read = date_form(fields.file, &text, problems)?;
        return Some(Form::Date { write: read.clone(), read });
    }
    let date = fields.table("date", problems)?;
    date.check_keys(&["in", "out"], problems);
    let mut part = |key| {
        let text = date.required_text(key, problems)?;
        date_form(date.file, &text, problems)
    };
    let (read, write) = (part("in"), part("out"));
    Some(Form::Date { read: read?, write: write? })
}

fn date_form(file: &File, text: &Text<'_>, problems: &mut Problems) -> Option<DateForm> {
    match DateForm::parse(text.value) {
        Ok(form) => Some(form),
        Err(error) => {
            let message = format!("bad date format: {error}");
            let help = "write date, dateTime or letters with % such as %d.%m.%Y";
            problems.error(file, text.span.clone(), message, help);
            None
        }
    }
}

fn number(fields: &Fields<'_>, problems: &mut Problems) -> Option<Form> {
    if fields.is_true("number") {
        return Some(Form::Number(NumberForm::default()));
    }
    let number = fields.table("number", problems)?;
    number.check_keys(&["min", "max", "decimals"], problems);
    let form = NumberForm {
        min: number.decimal("min", problems),
        max: number.decimal("max", problems),
        decimals: number.count("decimals", 0, problems),
    };
    if let (Some(min), Some(max)) = (form.min, form.max)
        && min > max
    {
        let message = format!("no number is both at least {min} and at most {max}");
        problems.error(number.file, number.key_span("max"), message, "swap min and max");
    }
    Some(Form::Number(form))
}

fn boolean(fields: &Fields<'_>, problems: &mut Problems) -> Option<Form> {
    if fields.is_true("boolean") {
        return Some(Form::Boolean(BooleanForm { yes: "true".into(), no: "false".into() }));
    }
    let words = fields.texts("boolean", problems)?;
    let [yes, no] = words.as_slice() else {
        let help = "write boolean = [\"Y\", \"N\"]: what true becomes, what false becomes";
        problems.error(fields.file, fields.key_span("boolean"), "'boolean' takes two words", help);
        return None;
    };
    Some(Form::Boolean(BooleanForm { yes: yes.value.into(), no: no.value.into() }))
}

/// A default goes through the rule like any value, so it must fit.
pub(super) fn default(file: &File, default: &Text<'_>, finish: &Finish, problems: &mut Problems) {
    if default.value.is_empty() {
        let help = "leave it out, or use keep_empty = true to write an empty element";
        problems.error(file, default.span.clone(), "the default is empty", help);
        return;
    }
    if let Err(misfit) = finish.apply(Cow::Borrowed(default.value)) {
        let message = format!("the default '{}' does not fit its own rule", default.value);
        problems.error(
            file,
            default.span.clone(),
            message,
            format!("it takes {}", misfit.expected),
        );
    }
}

pub(super) fn constant(fields: &Fields<'_>, text: &str, length: Length, problems: &mut Problems) {
    if length.cut(text).is_some() {
        let message = format!("'{text}' is longer than {} characters", length.max);
        problems.error(
            fields.file,
            fields.key_span("const"),
            message,
            "shorten it, or raise length",
        );
    }
}
