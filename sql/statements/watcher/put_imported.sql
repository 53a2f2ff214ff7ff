-- watcher.put_imported
-- Purpose:    store authorization decisions of Kamailio; a later one of ours stays
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: $1 presentity_uri text[] | $2 watcher_username text[] | $3 watcher_domain text[] | $4 event text[] | $5 status int2[] | $6 reason text[] | $7 inserted_time int8[] | $8 dry bool (change nothing)
-- Returns:    ord int8 (from 1) | verdict text (created, changed, same, newer)
-- Locks:      watchers rows by (uri, watcher, event)
-- Plan:       watchers_watcher_idx
-- Retry:      safe
-- RFC:        none
WITH input AS MATERIALIZED (
    SELECT i.ord, i.presentity_uri, i.watcher_username, i.watcher_domain, i.event, i.status, i.reason, i.inserted_time
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::bigint[])
             WITH ORDINALITY
             AS i (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time, ord)
),
judged AS MATERIALIZED (
    SELECT
        i.ord, i.presentity_uri, i.watcher_username, i.watcher_domain, i.event, i.status, i.reason, i.inserted_time,
        CASE WHEN w.id IS NULL THEN 'created'
             WHEN w.inserted_time > i.inserted_time THEN 'newer'
             WHEN w.status = i.status AND w.reason = i.reason AND w.inserted_time = i.inserted_time THEN 'same'
             ELSE 'changed' END AS verdict
    FROM input AS i
    LEFT JOIN LATERAL (
        SELECT w.id, w.status, w.reason, w.inserted_time
        FROM watchers AS w
        WHERE w.presentity_uri = i.presentity_uri AND w.watcher_username = i.watcher_username
          AND w.watcher_domain = i.watcher_domain AND w.event = i.event
        -- A fence: one look-up by key for each input, also while the table is empty.
        LIMIT 1
    ) AS w ON true
),
stored AS (
    INSERT INTO watchers AS w (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time)
    SELECT j.presentity_uri, j.watcher_username, j.watcher_domain, j.event, j.status, j.reason, j.inserted_time
    FROM judged AS j
    WHERE j.verdict IN ('created', 'changed') AND NOT $8::boolean
    ORDER BY j.presentity_uri COLLATE "C", j.watcher_username COLLATE "C", j.watcher_domain COLLATE "C", j.event COLLATE "C"
    ON CONFLICT (presentity_uri, watcher_username, watcher_domain, event) DO UPDATE
    SET status        = EXCLUDED.status,
        reason        = EXCLUDED.reason,
        inserted_time = EXCLUDED.inserted_time
    -- Judged anew under the lock.
    WHERE w.inserted_time <= EXCLUDED.inserted_time
)
SELECT j.ord, j.verdict
FROM judged AS j
