//! The timeline of a request: one line for every change and every event that changed nothing.

/// What a line of the journal says. The text is for people, the kind for programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The stable name of what happened: `received`, `confirmed`, `answered`, `parked`, …
    pub kind: &'static str,
    /// The rest of the sentence.
    pub detail: String,
}

impl Entry {
    /// Makes a line.
    pub fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
