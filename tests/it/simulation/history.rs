//! What the checker gets to see: what happened outside the bridge, and what its store says.

use std::collections::HashMap;

use rusqlite::Connection;
use tieline::bridge::{Lane, Outgoing};
use tieline::domain::{AnswerId, MessageId, RequestId, Revision, Verdict};
use uuid::Uuid;

use super::script::Fate;

/// The names of the states by their codes in the store.
const STATES: [&str; 9] = [
    "waiting",
    "pending",
    "published",
    "parked",
    "overdue",
    "applied",
    "rejected",
    "superseded",
    "discarded",
];

/// Something that was seen from outside.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Billing's broker has confirmed a message that becomes this request.
    Sent { id: RequestId },
    /// So many requests were handed to the bridge, which said that it has recorded them.
    Recorded { count: usize },
    /// So many were handed to it, and whether it counted them is not known.
    MayBeRecorded { count: usize },
    /// A window is on its way; the requests as they stood at that moment.
    Begun { lane: Lane, window: Vec<MessageId>, rows: Vec<Row> },
    /// A publish ended.
    Handed { lane: Lane, message: MessageId, fate: Fate },
    /// The other side has it.
    Taken { message: Outgoing },
    /// Asset management answered.
    AnswerSent { answer: SentAnswer },
    /// A batch of answers was recorded; the requests before and after.
    Answered { batch: Vec<AnswerId>, before: Vec<Row>, after: Vec<Row> },
    /// The other side's broker gave a message back.
    CameBack { message: MessageId },
    /// An operator gave a command.
    Ordered,
    /// The process died, or the store failed.
    Died,
}

#[derive(Clone, Debug)]
pub(super) struct SentAnswer {
    pub(super) id: AnswerId,
    pub(super) message: Option<MessageId>,
    pub(super) sync_request: String,
    pub(super) verdict: Verdict,
}

/// A request in the store.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) id: RequestId,
    pub(super) sync_request: Option<String>,
    pub(super) service_point: Option<String>,
    pub(super) revision: Revision,
    pub(super) state: &'static str,
    pub(super) edition: u16,
    pub(super) superseded_by: Option<RequestId>,
    pub(super) resends: u32,
}

/// A reply in the store.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct ReplyRow {
    pub(super) seq: i64,
    pub(super) request: i64,
    pub(super) message: MessageId,
    pub(super) outcome: String,
    pub(super) is_delivered: bool,
}

/// The store after everything has come to rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    pub(super) rows: Vec<Row>,
    pub(super) replies: Vec<ReplyRow>,
    /// Each stored answer, and whether its error record waits for a person or was discarded.
    pub(super) answers: HashMap<AnswerId, bool>,
    pub(super) answer_rows: usize,
    /// What lies in the outbox or on a queue although nothing hinders it.
    pub(super) left: Vec<String>,
    /// What broke on the way, and after which operation.
    pub(super) broken: Option<String>,
}

pub(super) fn rows(connection: &Connection) -> Vec<Row> {
    const ALL: &str = "SELECT seq, id, sync_request, service_point, version, state, edition, \
         superseded_by, resends FROM requests ORDER BY seq";
    let mut statement = connection.prepare_cached(ALL).unwrap();
    let rows = statement.query_map([], |row| {
        let id = |bytes| RequestId::from_uuid(Uuid::from_bytes(bytes));
        Ok(Row {
            seq: row.get(0)?,
            id: id(row.get(1)?),
            sync_request: row.get(2)?,
            service_point: row.get(3)?,
            revision: Revision {
                version: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
                created_at: None,
            },
            state: STATES[usize::from(row.get::<_, u8>(5)?)],
            edition: row.get(6)?,
            superseded_by: row.get::<_, Option<[u8; 16]>>(7)?.map(id),
            resends: row.get(8)?,
        })
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

pub(super) fn ending(connection: &Connection) -> Ending {
    const REPLIES: &str =
        "SELECT seq, request, message, outcome, state = 1 FROM replies ORDER BY seq";
    const ANSWERS: &str = "SELECT a.id, coalesce(e.status IN (0, 3), 0) FROM answers a \
         LEFT JOIN errors e ON e.about = 1 AND e.subject = a.seq";
    let mut statement = connection.prepare_cached(REPLIES).unwrap();
    let replies = statement.query_map([], |row| {
        Ok(ReplyRow {
            seq: row.get(0)?,
            request: row.get(1)?,
            message: MessageId::from_uuid(Uuid::from_bytes(row.get(2)?)),
            outcome: row.get(3)?,
            is_delivered: row.get(4)?,
        })
    });
    let replies = replies.unwrap().collect::<Result<_, _>>().unwrap();
    let mut statement = connection.prepare_cached(ANSWERS).unwrap();
    let answers = statement
        .query_map([], |row| Ok((AnswerId::from_uuid(Uuid::from_bytes(row.get(0)?)), row.get(1)?)));
    let answers: Vec<(AnswerId, bool)> = answers.unwrap().collect::<Result<_, _>>().unwrap();
    let answer_rows = answers.len();
    let mut by_id = HashMap::new();
    for (id, waits) in answers {
        *by_id.entry(id).or_default() |= waits;
    }
    Ending {
        rows: rows(connection),
        replies,
        answers: by_id,
        answer_rows,
        left: Vec::new(),
        broken: None,
    }
}
