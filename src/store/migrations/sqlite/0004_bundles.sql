-- Payloads are kept several in a row, a bundle (forms 2 and 3), and named by a number: that of the
-- row, times 256, and the slot in it. A row of its own is slot 0 of itself. So no number is a key of
-- `payloads` any more, and the tables that have them are made anew.

CREATE TABLE requests_of_bundles (
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
    attempted          INTEGER NOT NULL,        -- 1 once it may have been handed over
    kind               INTEGER,                 -- 0 metered, 1 item
    edition            INTEGER NOT NULL,        -- how often it was translated for sending
    received           INTEGER NOT NULL,        -- the number of its payload
    outgoing           INTEGER,                 -- the number of the payload that has what was made
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
INSERT INTO requests_of_bundles SELECT seq, id, sync_request, service_point, version, created_at_ms,
    state, tries, date_ms, superseded_by, place, attempted, kind, edition, received << 8,
    outgoing << 8, mapping, error, told, replies, resends, reply_correlation, trace,
    received_at_ms, changed_at_ms FROM requests ORDER BY seq;
DROP TABLE requests;
ALTER TABLE requests_of_bundles RENAME TO requests;
CREATE INDEX requests_sync_request ON requests (sync_request) WHERE sync_request IS NOT NULL;
-- Two, so that what is under way is found among few, and a request changes its place in an index
-- once in its life.
CREATE INDEX requests_live ON requests (service_point) WHERE state < 4;
CREATE INDEX requests_ended ON requests (service_point) WHERE state >= 4;
CREATE INDEX requests_answer_due ON requests (date_ms) WHERE state = 2;
-- No list: to look whether a state is in one, SQLite builds a table of it at each write.
CREATE INDEX requests_rare ON requests (state)
    WHERE state = 0 OR state = 3 OR state = 4 OR state = 8;

CREATE TABLE answers_of_bundles (
    seq           INTEGER PRIMARY KEY,
    id            BLOB NOT NULL,
    request       INTEGER REFERENCES requests (seq),
    sync_request  TEXT,                         -- as the answer names it
    verdict       INTEGER,                      -- 0 positive, 1 negative
    payload       INTEGER NOT NULL,             -- its number
    trace         TEXT,
    at_ms         INTEGER NOT NULL
);
INSERT INTO answers_of_bundles SELECT seq, id, request, sync_request, verdict, payload << 8, trace,
    at_ms FROM answers ORDER BY seq;
DROP TABLE answers;
ALTER TABLE answers_of_bundles RENAME TO answers;
CREATE INDEX answers_id ON answers (id);

-- A reply that comes back names its request, so that its message id needs no index.
CREATE TABLE replies_of_bundles (
    seq              INTEGER PRIMARY KEY,
    request          INTEGER NOT NULL REFERENCES requests (seq),
    number           INTEGER NOT NULL,
    message          BLOB NOT NULL,
    outcome          TEXT NOT NULL,
    payload          INTEGER NOT NULL,          -- its number
    state            INTEGER NOT NULL,          -- 0 pending, 1 delivered, 2 parked
    tries            INTEGER NOT NULL,
    place            INTEGER,                   -- pending: its row of the outbox
    again            INTEGER NOT NULL DEFAULT 0, -- billing asked again while a copy was on its way
    error            INTEGER,
    made_at_ms       INTEGER NOT NULL,
    delivered_at_ms  INTEGER
);
INSERT INTO replies_of_bundles SELECT seq, request, number, message, outcome, payload << 8, state,
    tries, place, again, error, made_at_ms, delivered_at_ms FROM replies ORDER BY seq;
DROP TABLE replies;
ALTER TABLE replies_of_bundles RENAME TO replies;
CREATE UNIQUE INDEX replies_request ON replies (request, number);

-- Lines of the journal are numbered in the order in which they are written, whosever they are:
-- none has to look what the last one of its request was.
INSERT INTO counters SELECT 'line', coalesce(max(line), 0) FROM journal;
