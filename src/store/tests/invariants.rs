//! The invariants, asked of the whole store; by the simulation (`tests/it/simulation`) too.

use rusqlite::Connection;

/// What must never be found, and the query that would find it.
const NEVER: &[(&str, &str)] = &[
    (
        "a request is parked and its error record is not open, or the other way round",
        "SELECT r.seq FROM requests r LEFT JOIN errors e ON e.about = 0 AND e.subject = r.seq
         WHERE (r.state = 3) <> coalesce(e.status = 0, 0)",
    ),
    (
        "a discarded request has no discarded record",
        "SELECT r.seq FROM requests r LEFT JOIN errors e ON e.about = 0 AND e.subject = r.seq
         WHERE (r.state = 8) <> coalesce(e.status = 3, 0)",
    ),
    (
        "a request does not know its error record",
        "SELECT r.seq FROM requests r LEFT JOIN errors e ON e.about = 0 AND e.subject = r.seq
         WHERE r.error IS NOT e.id",
    ),
    (
        "a record is retrying though its request is settled",
        "SELECT r.seq FROM requests r JOIN errors e ON e.about = 0 AND e.subject = r.seq
         WHERE e.status = 1 AND r.state IN (5, 6, 7)",
    ),
    (
        "a pending or published request has no translation",
        "SELECT seq FROM requests WHERE state IN (0, 1, 2) AND
         (outgoing IS NULL OR kind IS NULL OR edition = 0 OR sync_request IS NULL
          OR service_point IS NULL)",
    ),
    (
        "a pending request has no place, or another one has",
        "SELECT r.seq FROM requests r
         LEFT JOIN outbox o ON o.place = r.place AND o.lane = 0 AND o.subject = r.seq
         WHERE (r.state = 1) <> (o.place IS NOT NULL) OR (r.state = 1) <> (r.place IS NOT NULL)",
    ),
    (
        "a place belongs to no pending request",
        "SELECT o.place FROM outbox o LEFT JOIN requests r ON r.place = o.place
         WHERE o.lane = 0 AND (r.seq IS NULL OR r.seq <> o.subject)",
    ),
    (
        "an undelivered reply has no place, or another one has",
        "SELECT p.seq FROM replies p
         LEFT JOIN outbox o ON o.place = p.place AND o.lane = 1 AND o.subject = p.seq
         WHERE (p.state = 0) <> (o.place IS NOT NULL) OR (p.state = 0) <> (p.place IS NOT NULL)",
    ),
    (
        "a place belongs to no undelivered reply",
        "SELECT o.place FROM outbox o LEFT JOIN replies p ON p.place = o.place
         WHERE o.lane = 1 AND (p.seq IS NULL OR p.seq <> o.subject)",
    ),
    (
        "a parked reply has no open or discarded record",
        "SELECT p.seq FROM replies p LEFT JOIN errors e ON e.about = 2 AND e.subject = p.seq
         WHERE (p.state = 2) <> coalesce(e.status IN (0, 3), 0)",
    ),
    (
        "a note is about no record",
        "SELECT o.place FROM outbox o LEFT JOIN errors e ON e.id = o.subject
         WHERE o.lane = 2 AND e.id IS NULL",
    ),
    (
        "two requests of one service point are under way",
        "SELECT min(seq) FROM requests WHERE state IN (1, 2) AND service_point IS NOT NULL
         GROUP BY service_point HAVING count(*) > 1",
    ),
    (
        "two requests of one service point wait",
        "SELECT min(seq) FROM requests WHERE state = 0 GROUP BY service_point HAVING count(*) > 1",
    ),
    (
        "a request waits for nobody",
        "SELECT w.seq FROM requests w WHERE w.state = 0 AND NOT EXISTS
         (SELECT 1 FROM requests u WHERE u.state IN (1, 2) AND
          (u.service_point = w.service_point OR u.sync_request = w.sync_request))",
    ),
    (
        "a request is published and its answer is never due, or superseded by nobody",
        "SELECT r.seq FROM requests r LEFT JOIN requests n ON n.id = r.superseded_by
         WHERE (r.state IN (1, 2)) <> (r.date_ms IS NOT NULL) OR (r.state = 7) <> (n.seq IS NOT NULL)",
    ),
    (
        "a request was handed over though it never was attempted",
        "SELECT seq FROM requests WHERE state IN (2, 4, 5, 6) AND attempted = 0",
    ),
    (
        "a state is not the one that the timeline tells of last",
        "SELECT r.seq FROM requests r WHERE r.state IS NOT
         (SELECT t.state FROM timeline t WHERE t.request = r.seq AND t.state IS NOT NULL
          ORDER BY t.line DESC LIMIT 1)",
    ),
    (
        "two lines have the same number, or a line has no time or no detail",
        "SELECT request FROM timeline GROUP BY request, line HAVING count(*) > 1 UNION ALL
         SELECT request FROM timeline WHERE at_ms IS NULL OR detail IS NULL",
    ),
    (
        "a request is kept as live though it is over, or the other way round",
        "SELECT seq FROM requests WHERE live <> (state < 4)",
    ),
    (
        "a request was told to billing by another number of replies than it counts",
        "SELECT r.seq FROM requests r WHERE r.replies <>
         (SELECT count(*) FROM replies p WHERE p.request = r.seq)
         OR r.replies <> (SELECT coalesce(max(p.number), 0) FROM replies p WHERE p.request = r.seq)",
    ),
    (
        "a verdict has no reply, and no later request answers for it",
        "SELECT r.seq FROM requests r WHERE r.state IN (3, 5, 6, 7, 8)
         AND r.sync_request IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM requests l
             WHERE l.sync_request = r.sync_request AND l.seq > r.seq)
         AND NOT EXISTS (SELECT 1 FROM replies p WHERE p.request = r.seq)",
    ),
    (
        "the last reply does not say how a settled request ended",
        "SELECT r.seq FROM requests r WHERE r.state IN (5, 6, 7) AND r.sync_request IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM requests l
             WHERE l.sync_request = r.sync_request AND l.seq > r.seq)
         AND (SELECT p.outcome FROM replies p WHERE p.request = r.seq
              ORDER BY p.number DESC LIMIT 1)
         <> CASE r.state WHEN 5 THEN 'applied' WHEN 6 THEN 'rejected' ELSE 'superseded' END",
    ),
    (
        "the tallies do not add up",
        "SELECT t.state FROM tallies t
         WHERE t.requests <> (SELECT count(*) FROM requests r WHERE r.state = t.state)",
    ),
    (
        "a payload is named that is not there",
        "SELECT number FROM (SELECT received AS number FROM requests UNION ALL
         SELECT outgoing FROM requests WHERE outgoing IS NOT NULL UNION ALL
         SELECT payload FROM answers UNION ALL SELECT payload FROM replies)
         WHERE number >> 8 NOT IN (SELECT id FROM payloads)",
    ),
    (
        "an answer was kept twice",
        "SELECT min(seq) FROM answers GROUP BY id, request HAVING count(*) > 1",
    ),
];

/// The first invariant that is broken, and where.
pub(super) fn broken(connection: &Connection) -> Option<String> {
    for (what, sql) in NEVER {
        let mut statement = connection.prepare_cached(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        let found: Vec<i64> = rows.collect::<Result<_, _>>().unwrap();
        if let Some(first) = found.first() {
            return Some(format!("{what}: rows {found:?}\n{}", story(connection, *first)));
        }
    }
    None
}

/// What the timeline tells about the request, for the message of a failed check.
fn story(connection: &Connection, request: i64) -> String {
    let sql = "SELECT r.service_point || ' v' || r.version || ' ' || r.sync_request || ': ' ||
               t.kind || ': ' || t.detail FROM timeline t JOIN requests r ON r.seq = t.request
               WHERE t.request = ?1 ORDER BY t.line";
    let mut statement = connection.prepare(sql).unwrap();
    let lines = statement.query_map([request], |row| row.get(0)).unwrap();
    lines.collect::<Result<Vec<String>, _>>().unwrap_or_default().join("\n")
}
