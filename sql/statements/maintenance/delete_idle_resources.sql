-- maintenance.delete_idle_resources
-- Purpose:    delete queue rows that owe nothing and have been quiet for 15 s
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were deleted
-- Locks:      free notify_queue rows (SKIP LOCKED: never waits)
-- Plan:       notify_queue_due_idx, notify_queue_pkey
-- Retry:      safe
-- RFC:        none
--
-- Why 15 s, longer than a statement may take: a trigger that draws a version for a row that it is about to insert must not see
-- the row made, worked off and deleted by others in between, or its number would be lower than what watchers have seen.
-- A row that numbers the rules of its presentity stays: decisions are compared with that number. So does one whose watcher
-- information is watched: a trigger asks it about that.
WITH idle AS MATERIALIZED (
    SELECT q.presentity_uri, q.event
    FROM notify_queue AS q
    WHERE q.due = 'infinity'
      AND q.owner IS NULL
      AND q.rules_version = 0
      AND NOT q.winfo_watched
      AND q.not_before < COALESCE($2::timestamptz, now()) - interval '15 seconds'
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM notify_queue AS q
USING idle AS i
WHERE q.presentity_uri = i.presentity_uri AND q.event = i.event
