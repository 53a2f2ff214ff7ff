-- watcher.give_up
-- Purpose:    give up on watchers about whom nobody decided in time
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 waiting_s int8 | $3 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were given up on
-- Locks:      free watchers rows (SKIP LOCKED), then notify_queue by key (by trigger)
-- Plan:       watchers_waiting_idx, watchers_pkey
-- Retry:      safe
-- RFC:        3857 section 4.7.1 (waiting, giveup: terminated)
WITH over AS MATERIALIZED (
    SELECT w.id, t.now_s
    FROM (SELECT floor(extract(epoch FROM COALESCE($3::timestamptz, now())))::bigint AS now_s) AS t
    JOIN watchers AS w ON w.status = 4 AND w.inserted_time <= t.now_s - $2::bigint
    WHERE w.reason <> 'giveup'
    ORDER BY w.inserted_time
    LIMIT $1::bigint
    FOR UPDATE OF w SKIP LOCKED
)
UPDATE watchers AS w
SET reason        = 'giveup',
    inserted_time = o.now_s
FROM over AS o
WHERE w.id = o.id
