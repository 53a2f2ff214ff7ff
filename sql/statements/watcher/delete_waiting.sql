-- watcher.delete_waiting
-- Purpose:    give up on watchers about whom nobody decided in time
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 waiting_s int8 | $3 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were deleted
-- Locks:      free watchers rows (SKIP LOCKED), then notify_queue by key (by trigger)
-- Plan:       watchers_waiting_idx, watchers_pkey
-- Retry:      safe
-- RFC:        3857 section 4.7.1 (waiting, giveup: terminated)
WITH over AS MATERIALIZED (
    SELECT w.id
    FROM watchers AS w
    WHERE w.status = 4
      AND w.inserted_time <= floor(extract(epoch FROM COALESCE($3::timestamptz, now())))::bigint - $2::bigint
    ORDER BY w.inserted_time
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM watchers AS w
USING over AS o
WHERE w.id = o.id
