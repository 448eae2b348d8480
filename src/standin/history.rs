//! A history: one JSON object a line for everything that a stand-in sent or received, so that a
//! checker can compare both ends after a run, however it went.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::bridge::ports::Clock;

/// What happened. `message` is always the AMQP message id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    /// Billing is about to publish a request.
    Sending {
        place: u64,
        kind: &'a str,
        sync_request: &'a str,
        service_point: &'a str,
        revision: u32,
        digest: String,
        /// The code under which it must be parked, if it must.
        code: Option<&'a str>,
    },
    /// The broker has it.
    Sent { place: u64 },
    /// The broker may have it; it is published again.
    Unknown { place: u64, why: &'a str },
    /// Billing received a reply.
    Reply {
        message: &'a str,
        correlation: &'a str,
        sync_request: &'a str,
        outcome: &'a str,
        sign: &'a str,
        digest: String,
        repeated: bool,
        /// First reason of a negative one: category, number, first parameter.
        reason: Option<String>,
    },
    /// Asset management received an asset location.
    Location {
        message: &'a str,
        sync_request: &'a str,
        service_point: &'a str,
        revision: u32,
        digest: String,
        repeated: bool,
        /// What it is going to answer.
        answer: Option<&'a str>,
    },
    /// An answer was confirmed by the broker.
    Answered { message: &'a str, correlation: Option<&'a str>, says: &'a str },
}

#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// Where events are written, if anywhere.
pub(super) struct History {
    writer: Option<Mutex<Writer>>,
    clock: Arc<dyn Clock>,
}

struct Writer {
    file: BufWriter<File>,
    failed: Option<io::Error>,
}

impl History {
    /// Begins a history in this file, or none.
    pub(super) fn begin(file: Option<&Path>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let writer = match file {
            Some(path) => {
                let file = BufWriter::new(File::create(path)?);
                Some(Mutex::new(Writer { file, failed: None }))
            }
            None => None,
        };
        Ok(Self { writer, clock })
    }

    /// Whether anything is written, so that nothing need be computed for it otherwise.
    pub(super) fn is_kept(&self) -> bool {
        self.writer.is_some()
    }

    /// Writes an event. A file that fails is told at the end, for the run is worth more than it.
    pub(super) fn write(&self, event: &Event<'_>) {
        let Some(writer) = &self.writer else { return };
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.failed.is_none() {
            let line = Line { at: self.clock.now(), event };
            writer.failed = writer.line(&line).err();
        }
    }

    /// Hands what was written to the system, so that it outlives this process.
    pub(super) fn flush(&self) {
        let Some(writer) = &self.writer else { return };
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.failed.is_none() {
            writer.failed = writer.file.flush().err();
        }
    }

    /// Ends the history and tells whether it is whole.
    pub(super) fn end(&self) -> io::Result<()> {
        self.flush();
        let Some(writer) = &self.writer else { return Ok(()) };
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.failed.take().map_or(Ok(()), Err)
    }
}

impl Writer {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    pub(in crate::standin) fn stopped_clock() -> impl Clock + 'static {
        Stopped
    }

    #[test]
    fn a_history_has_a_line_for_every_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let history = History::begin(Some(&path), Arc::new(Stopped)).unwrap();
        history.write(&Event::Sent { place: 7 });
        history.write(&Event::Unknown { place: 8, why: "no confirm" });
        history.end().unwrap();
        let lines = std::fs::read_to_string(path).unwrap();
        let expected = "{\"at\":\"1970-01-01T00:00:00Z\",\"event\":\"sent\",\"place\":7}\n\
                        {\"at\":\"1970-01-01T00:00:00Z\",\"event\":\"unknown\",\"place\":8,\
                        \"why\":\"no confirm\"}\n";
        assert_eq!(lines, expected);
    }
}
