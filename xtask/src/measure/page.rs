//! Figures in a page that people write: what stands between two marks is replaced by a run.

/// Puts text between the marks `<!-- NAME -->` and `<!-- end of NAME -->` of a page; nothing if the
/// page lacks them.
pub fn fill(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_the_rest_stays() {
        let page = "# A\n<!-- x -->\nold\n<!-- end of x -->\nB\n";
        let filled = fill(page, "x", "new\n").unwrap();
        assert_eq!(filled, "# A\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nB\n");
        assert_eq!(fill(&filled, "x", "new").unwrap(), filled);
        assert_eq!(fill(page, "y", "new"), None);
    }
}
