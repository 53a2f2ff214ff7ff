-- publication.delete_removed
-- Purpose:    forget publications that ended more than 64*T1 ago, and whose ends were handed on (publication.hand_on_ends)
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were deleted
-- Locks:      free presentity rows (SKIP LOCKED: never waits)
-- Plan:       presentity_sweep_idx, presentity_pkey
-- Retry:      safe
-- RFC:        3261 section 17.1.2.2: after 64*T1 no copy of the request comes any more
WITH due AS MATERIALIZED (
    SELECT p.id
    FROM presentity AS p
    WHERE p.sweep_at <= floor(extract(epoch FROM COALESCE($2::timestamptz, now())))::bigint AND p.removed AND p.ended = '{}'
    ORDER BY p.sweep_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM presentity AS p
USING due AS d
WHERE p.id = d.id
