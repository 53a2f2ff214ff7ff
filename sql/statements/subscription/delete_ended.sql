-- subscription.delete_ended
-- Purpose:    forget dialogs that ended more than 64*T1 ago
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were deleted
-- Locks:      free active_watchers rows (SKIP LOCKED: never waits)
-- Plan:       active_watchers_sweep_idx, active_watchers_pkey, notify_queue_pkey
-- Retry:      safe
-- RFC:        3261 section 17.1.2.2: after 64*T1 no copy of the request comes any more
--
-- One that the watchers of the watcher information have yet to be told of stays until then: a partial document tells of its end.
WITH due AS MATERIALIZED (
    SELECT a.id
    FROM active_watchers AS a
    WHERE a.sweep_at <= floor(extract(epoch FROM COALESCE($2::timestamptz, now())))::bigint AND a.ended
      AND NOT EXISTS (
          SELECT 1
          FROM notify_queue AS q
          WHERE q.presentity_uri = a.presentity_uri AND q.event = winfo_event(a.event) AND q.version > 0)
    ORDER BY a.sweep_at
    LIMIT $1::bigint
    FOR UPDATE OF a SKIP LOCKED
)
DELETE FROM active_watchers AS a
USING due AS d
WHERE a.id = d.id
