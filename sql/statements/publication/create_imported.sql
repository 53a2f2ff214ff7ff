-- publication.create_imported
-- Purpose:    store publications of Kamailio, notifying nobody
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: username text[] | domain text[] | event text[] | ruid text[] | etag text[] | expires int8[] | received_time int8[] | body bytea[] | sender text[] | priority int8[]
-- Returns:    nothing; the row count says how many are new
-- Locks:      new keys of presentity in one order; nothing is queued
-- Plan:       no table is read
-- Retry:      safe, the second run finds the rows of the first
-- RFC:        none
WITH quiet AS MATERIALIZED (
    SELECT set_config('pgpresence.quiet', 'on', true) AS set
)
INSERT INTO presentity (username, domain, event, ruid, etag, expires, received_time, body, sender, priority, modified)
SELECT
    i.username, i.domain, i.event, i.ruid, i.etag, i.expires, i.received_time, i.body, i.sender, i.priority,
    to_timestamp(i.received_time)
FROM unnest(:username::text[], :domain::text[], :event::text[], :ruid::text[], :etag::text[], :expires::bigint[],
            :received_time::bigint[], :body::bytea[], :sender::text[], :priority::bigint[])
         AS i (username, domain, event, ruid, etag, expires, received_time, body, sender, priority)
CROSS JOIN quiet
ORDER BY lower(i.domain) COLLATE "C", i.username COLLATE "C", i.event COLLATE "C", i.ruid COLLATE "C"
ON CONFLICT (presentity_uri, event, ruid) DO NOTHING
