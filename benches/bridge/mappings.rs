//! Folders of mappings: the shipped ones, and such with other numbers of rules.

use std::fs;
use std::path::Path;

use crate::Result;

/// The folder of the shipped mappings.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/transforms");

/// What the rules of a mapping stand between.
const RULES_BEGIN: &str = "rules = [\n";
const RULES_END: &str = "\n]\n";

/// Makes a folder with the shipped mappings and value maps, without samples.
pub(crate) fn copy_shipped(to: &Path) -> Result<()> {
    copy(Path::new(SHIPPED), to)
}

/// Makes a folder with the shipped mappings in which that of service points has so many rules: its
/// first ones, then some that look for what no message has.
pub(crate) fn copy_with_rules(to: &Path, number: usize) -> Result<()> {
    copy_shipped(to)?;
    let path = to.join("service-point/mapping.toml");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, with_rules(&text, number)?)?;
    Ok(())
}

fn with_rules(text: &str, number: usize) -> Result<String> {
    let (head, rest) = text.split_once(RULES_BEGIN).ok_or("no rules in the mapping")?;
    let (rules, _) = rest.split_once(RULES_END).ok_or("no end of the rules in the mapping")?;
    // One rule a line; those of a group are indented deeper and belong to the line that opens it.
    let is_rule = |line: &&str| line.starts_with("  { to = ");
    let shipped = rules.lines().filter(is_rule).count();
    let mut seen = 0;
    let kept = rules.lines().take_while(|line| {
        seen += usize::from(is_rule(line));
        seen <= number
    });
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    lines.extend((shipped..number).map(extra_rule));
    Ok(format!("{head}{RULES_BEGIN}{}{RULES_END}", lines.join("\n")))
}

fn extra_rule(number: usize) -> String {
    format!(
        "  {{ to = \"location/attributes/attribute[name=X{number}]/value\", from = \
         \"servicePoint/characteristics/characteristic[characteristicType=CM-X{number}]/\
         adhocCharacteristicValue\", length = 60 }},"
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_file() {
            fs::copy(&path, target)?;
        } else if entry.file_name() != "samples" {
            copy(&path, &target)?;
        }
    }
    Ok(())
}
