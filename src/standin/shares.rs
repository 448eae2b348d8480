//! Shares: which part of many is what.

/// Tells what is wrong with shares that divide one whole, if something is.
pub(super) fn check(named: &[(&str, f64)]) -> Result<(), String> {
    for (name, share) in named {
        if !(0.0..=1.0).contains(share) {
            return Err(format!("the share {name} is {share}, expected 0 to 1"));
        }
    }
    let sum: f64 = named.iter().map(|(_, share)| share).sum();
    // Ten times 0.1 is a little more than 1.
    if sum > 1.0 + 1e-9 {
        let all: Vec<_> = named.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "the shares {} are {sum} together, expected at most 1",
            all.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_parts_of_one_whole() {
        assert_eq!(check(&[("a", 0.5), ("b", 0.5)]), Ok(()));
        assert!(check(&[("a", 0.5), ("b", 0.6)]).is_err());
        assert!(check(&[("a", -0.1)]).is_err() && check(&[("a", f64::NAN)]).is_err());
    }
}
