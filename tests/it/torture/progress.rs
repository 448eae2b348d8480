//! How far a run is, by the histories that both ends write while it goes on.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What was seen so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    /// Requests that the broker has confirmed to billing.
    pub(super) sent: u64,
    /// Replies that billing received.
    pub(super) replies: u64,
    /// Asset locations that asset management received.
    pub(super) locations: u64,
    /// Answers that it owes for them.
    pub(super) owed: u64,
    /// Answers that the broker has confirmed to it.
    pub(super) answered: u64,
}

/// Follows both histories.
pub(super) struct Progress {
    tails: [Tail; 2],
    seen: Seen,
}

impl Progress {
    pub(super) fn of(billing: &Path, assets: &Path) -> Self {
        Self { tails: [Tail::of(billing), Tail::of(assets)], seen: Seen::default() }
    }

    /// Reads what is new.
    pub(super) fn look(&mut self) -> Seen {
        let seen = &mut self.seen;
        for tail in &mut self.tails {
            tail.each_new_line(|line| count(line, seen));
        }
        self.seen
    }
}

fn count(line: &str, seen: &mut Seen) {
    let is = |event: &str| line.contains(&format!("\"event\":\"{event}\""));
    if is("sent") {
        seen.sent += 1;
    } else if is("reply") {
        seen.replies += 1;
    } else if is("location") {
        seen.locations += 1;
        seen.owed += owed(line);
    } else if is("answered") {
        seen.answered += 1;
    }
}

/// How many answers follow an asset location. A repeated one has had its answers.
fn owed(line: &str) -> u64 {
    let says = |answer: &str| line.contains(&format!("\"answer\":\"{answer}\""));
    let twice = ["doubled", "positive_then_negative", "negative_then_positive", "with_orphan"];
    if line.contains("\"answer\":null") || says("silent") {
        0
    } else if twice.into_iter().any(says) {
        2
    } else {
        1
    }
}

/// The growing end of a file.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// What was read of a line that is not whole yet.
    rest: Vec<u8>,
}

impl Tail {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, rest: Vec::new() }
    }

    fn each_new_line(&mut self, mut take: impl FnMut(&str)) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return };
        file.read_to_end(&mut self.rest).unwrap();
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = self.rest.drain(..whole).collect::<Vec<_>>();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            take(std::str::from_utf8(line).unwrap());
        }
    }
}

#[test]
fn every_line_is_counted_once_however_it_comes() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let (billing, assets) = (dir.path().join("billing"), dir.path().join("assets"));
    let mut progress = Progress::of(&billing, &assets);
    assert_eq!(progress.look(), Seen::default());
    let mut file = File::create(&assets).unwrap();
    file.write_all(b"{\"event\":\"location\",\"answer\":\"doubled\"}\n{\"event\":\"loca").unwrap();
    assert_eq!(progress.look(), Seen { locations: 1, owed: 2, ..Seen::default() });
    file.write_all(b"tion\",\"answer\":null}\n{\"event\":\"answered\"}\n").unwrap();
    let expected = Seen { locations: 2, owed: 2, answered: 1, ..Seen::default() };
    assert_eq!((progress.look(), progress.look()), (expected, expected));
}
