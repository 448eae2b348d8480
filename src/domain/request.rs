//! What billing asks for: how new it is, and what came of translating it.

use jiff::Timestamp;

/// What kind of thing stands at the service point. It decides which message is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubjectKind {
    /// Has a meter: becomes an asset location.
    Metered,
    /// An item without a meter, such as a street light (category `D1IT`): becomes a connected
    /// asset with the default cost centre.
    Item,
}

impl SubjectKind {
    /// The stable name, as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metered => "metered",
            Self::Item => "item",
        }
    }
}

/// How new a request is among those of its service point: `sendDetails/version`, then
/// `createDateTime`, then arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Revision {
    /// Billing's version of the record, if it sent one.
    pub version: Option<u64>,
    /// When billing made the request, if it said so.
    pub created_at: Option<Timestamp>,
}

impl Revision {
    /// Tells whether this is strictly older than the other. What cannot be told apart is not
    /// older, so that the later arrival counts as the newer.
    pub fn is_older_than(&self, other: &Self) -> bool {
        match (self.version, other.version) {
            (Some(mine), Some(theirs)) if mine != theirs => mine < theirs,
            (Some(_) | None, Some(_) | None) => match (self.created_at, other.created_at) {
                (Some(mine), Some(theirs)) => mine < theirs,
                (Some(_) | None, Some(_) | None) => false,
            },
        }
    }
}

/// The result of translating a request: the bytes for asset management and which mapping made
/// them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Translation {
    /// What stands at the service point.
    pub kind: SubjectKind,
    /// The message for asset management.
    pub outgoing: Vec<u8>,
    /// The digest of the mapping and its value maps, in short hexadecimal form.
    pub mapping: String,
    /// How many values were passed through because a value map with `miss = "pass"` had no entry.
    pub passes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(version: Option<u64>, created_at: Option<&str>) -> Revision {
        Revision { version, created_at: created_at.map(|at| at.parse().unwrap()) }
    }

    #[test]
    fn version_decides_then_creation_then_arrival() {
        let early = Some("2025-03-14T02:11:09-05:00");
        let late = Some("2025-03-14T02:11:10-05:00");
        assert!(revision(Some(2), late).is_older_than(&revision(Some(3), early)));
        assert!(revision(Some(3), early).is_older_than(&revision(Some(3), late)));
        assert!(revision(None, early).is_older_than(&revision(Some(3), late)));
        assert!(!revision(Some(3), early).is_older_than(&revision(Some(3), early)));
        assert!(!revision(None, None).is_older_than(&revision(Some(9), late)));
    }
}
