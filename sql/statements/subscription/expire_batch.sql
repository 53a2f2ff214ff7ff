-- subscription.expire_batch
-- Purpose:    end dialogs whose time is up, each owed terminated;reason=timeout; look again later at those refreshed meanwhile
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were touched
-- Locks:      free active_watchers rows (SKIP LOCKED: never waits there), then notify_queue by key (by trigger)
-- Plan:       active_watchers_sweep_idx, active_watchers_pkey
-- Retry:      safe
-- RFC:        6665 section 4.2.2 (a subscription that expires is told so)
--
-- The row is locked before it is judged: a refresh that got in between is seen, and wins.
-- A terminated dialog that has not ended comes by here only if its last NOTIFY was forgotten for 300 s: it is owed again.
WITH due AS MATERIALIZED (
    SELECT a.id, a.status <> 3 AND is_live(a.expires, t.now) AS live, t.now
    FROM active_watchers AS a
    CROSS JOIN (SELECT COALESCE($2::timestamptz, now()) AS now) AS t
    WHERE a.sweep_at <= floor(extract(epoch FROM COALESCE($2::timestamptz, now())))::bigint AND NOT a.ended
    ORDER BY a.sweep_at
    LIMIT $1::bigint
    FOR UPDATE OF a SKIP LOCKED
)
UPDATE active_watchers AS a
SET status   = CASE WHEN d.live THEN a.status ELSE 3 END,
    reason   = CASE WHEN d.live OR a.status = 3 THEN a.reason ELSE 'timeout' END,
    updated  = CASE WHEN d.live THEN a.updated ELSE 0 END,
    updated_winfo = -1,
    sweep_at = CASE WHEN NOT d.live THEN expiry_at(300, d.now)
                    WHEN a.expires = -1 THEN 9223372036854775807
                    ELSE a.expires END
FROM due AS d
WHERE a.id = d.id
