-- Who the store is, so that the fence on the broker tells it from another one and from an older copy of
-- itself. Copies that were made before it had an identity get the same one.
CREATE TABLE identity (
    store     BLOB NOT NULL,
    epoch     INTEGER NOT NULL,     -- raised when somebody says that this store counts
    accepted  BLOB                  -- the store that the fence was of then
);
INSERT INTO identity
    SELECT coalesce((SELECT id FROM requests ORDER BY seq LIMIT 1), randomblob(16)), 1, NULL;
