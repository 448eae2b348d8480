-- The message store. Times are milliseconds since 1970. Rows of payloads and journal are written
-- once; a change of state touches the narrow row of its request only.

-- Bytes as received or as made. Never updated.
CREATE TABLE payloads (
    id          INTEGER PRIMARY KEY,
    properties  TEXT,               -- JSON, for what came from a queue
    body        BLOB NOT NULL
);

CREATE TABLE requests (
    seq                INTEGER PRIMARY KEY,     -- the order of arrival
    id                 BLOB NOT NULL UNIQUE,
    sync_request       TEXT,
    service_point      TEXT,
    version            INTEGER,
    created_at_ms      INTEGER,
    -- 0 waiting, 1 pending, 2 published, 3 parked, 4 overdue, 5 applied, 6 rejected,
    -- 7 superseded, 8 discarded
    state              INTEGER NOT NULL,
    tries              INTEGER NOT NULL,        -- pending: failures of its own since put there
    date_ms            INTEGER,                 -- pending: due; published: when the answer is
    superseded_by      BLOB,                    -- superseded: the id of the newer one
    place              INTEGER,                 -- pending: its row of the outbox
    attempted          INTEGER NOT NULL,        -- 1 from the first lease on
    kind               INTEGER,                 -- 0 metered, 1 item
    edition            INTEGER NOT NULL,        -- how often it was translated for sending
    received           INTEGER NOT NULL REFERENCES payloads (id),
    outgoing           INTEGER REFERENCES payloads (id),
    mapping            TEXT,
    error              INTEGER,                 -- its error record, if it ever had one
    told               INTEGER,                 -- the last reply: 0 positive, 1 negative
    replies            INTEGER NOT NULL,        -- how many replies were made
    resends            INTEGER NOT NULL,
    reply_correlation  TEXT,
    trace              TEXT,
    received_at_ms     INTEGER NOT NULL,
    changed_at_ms      INTEGER NOT NULL
);
CREATE INDEX requests_sync_request ON requests (sync_request) WHERE sync_request IS NOT NULL;
CREATE INDEX requests_service_point ON requests (service_point, state)
    WHERE service_point IS NOT NULL;
CREATE INDEX requests_answer_due ON requests (date_ms) WHERE state = 2;
CREATE INDEX requests_rare ON requests (state) WHERE state IN (0, 3, 4, 8);

-- How many requests stand in each state, kept by whoever moves one.
CREATE TABLE tallies (
    state     INTEGER PRIMARY KEY,
    requests  INTEGER NOT NULL
);
INSERT INTO tallies VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0);

-- What must be published, in the order of place. A row exists exactly while a request is pending,
-- a reply undelivered or a note unpublished.
CREATE TABLE outbox (
    place            INTEGER PRIMARY KEY AUTOINCREMENT,
    lane             INTEGER NOT NULL,          -- 0 location, 1 reply, 2 note
    subject          INTEGER NOT NULL,          -- requests.seq, replies.seq or errors.id
    number           INTEGER NOT NULL,          -- of the reply or note
    due_at_ms        INTEGER NOT NULL,
    leased_until_ms  INTEGER,
    attempts         INTEGER NOT NULL,          -- how often it was leased
    put_at_ms        INTEGER NOT NULL
);
CREATE INDEX outbox_lane ON outbox (lane);

CREATE TABLE answers (
    seq           INTEGER PRIMARY KEY,
    id            BLOB NOT NULL,
    request       INTEGER REFERENCES requests (seq),
    sync_request  TEXT,                         -- as the answer names it
    verdict       INTEGER,                      -- 0 positive, 1 negative
    payload       INTEGER NOT NULL REFERENCES payloads (id),
    trace         TEXT,
    at_ms         INTEGER NOT NULL
);
CREATE INDEX answers_id ON answers (id);

CREATE TABLE replies (
    seq              INTEGER PRIMARY KEY,
    request          INTEGER NOT NULL REFERENCES requests (seq),
    number           INTEGER NOT NULL,
    message          BLOB NOT NULL,
    outcome          TEXT NOT NULL,
    payload          INTEGER NOT NULL REFERENCES payloads (id),
    state            INTEGER NOT NULL,          -- 0 pending, 1 delivered, 2 parked
    tries            INTEGER NOT NULL,
    place            INTEGER,                   -- pending: its row of the outbox
    again            INTEGER NOT NULL DEFAULT 0, -- billing asked again while a copy was on its way
    error            INTEGER,
    made_at_ms       INTEGER NOT NULL,
    delivered_at_ms  INTEGER
);
CREATE UNIQUE INDEX replies_request ON replies (request, number);
CREATE INDEX replies_message ON replies (message);

-- The error queue: one record for each thing that failed.
CREATE TABLE errors (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    about        INTEGER NOT NULL,              -- 0 request, 1 answer, 2 reply
    subject      INTEGER NOT NULL,              -- requests.seq, answers.seq or replies.seq
    request      INTEGER REFERENCES requests (seq),
    status       INTEGER NOT NULL,              -- 0 open, 1 retrying, 2 resolved, 3 discarded
    code         TEXT NOT NULL,
    rule         TEXT,                          -- of the first defect
    detail       TEXT NOT NULL,
    defects      TEXT,                          -- JSON
    failures     INTEGER NOT NULL,
    notes        INTEGER NOT NULL,              -- how many notes were put in the outbox
    first_at_ms  INTEGER NOT NULL,
    last_at_ms   INTEGER NOT NULL,
    by_name      TEXT,
    by_reason    TEXT
);
CREATE UNIQUE INDEX errors_subject ON errors (about, subject);
CREATE INDEX errors_open ON errors (code, rule) WHERE status = 0;
CREATE INDEX errors_request ON errors (request) WHERE request IS NOT NULL;

-- One line for each change and for each event that changed nothing. Append only. Lines about no
-- request stand under request 0.
CREATE TABLE journal (
    request  INTEGER NOT NULL,
    line     INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    detail   TEXT NOT NULL,
    state    INTEGER,                           -- the state that it led to, if it changed it
    PRIMARY KEY (request, line)
) WITHOUT ROWID;

CREATE TABLE outages (
    lane         INTEGER PRIMARY KEY,
    since_ms     INTEGER NOT NULL,
    code         TEXT NOT NULL,
    detail       TEXT NOT NULL
);
