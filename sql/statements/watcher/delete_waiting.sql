-- watcher.delete_waiting
-- Purpose:    forget watchers who were given up on a minute ago
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were deleted
-- Locks:      free watchers rows (SKIP LOCKED)
-- Plan:       watchers_waiting_idx, watchers_pkey
-- Retry:      safe
-- RFC:        3857 section 4.7.1 (terminated: the subscription is no more)
--
-- A minute: partial state reaches 30 s further back than the NOTIFY before, and a NOTIFY may be paced or repeated. Who has not heard
-- of it by then is owed full state, which has no such watchers.
WITH over AS MATERIALIZED (
    SELECT w.id
    FROM watchers AS w
    WHERE w.status = 4
      AND w.reason = 'giveup'
      AND w.inserted_time <= floor(extract(epoch FROM COALESCE($2::timestamptz, now())))::bigint - 60
      -- For the planner, who can else think watchers_winfo_idx as good, all of which it would read.
      AND w.inserted_time >= 0
    ORDER BY w.inserted_time
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM watchers AS w
USING over AS o
WHERE w.id = o.id
