-- publication.expire_batch
-- Purpose:    end publications whose time is up; look again later at those that were refreshed meanwhile
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 limit int8 | $2 quiet bool (force_delete: tell no watcher) | $3 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were touched
-- Locks:      free presentity rows (SKIP LOCKED: never waits there), then notify_queue by key (by trigger)
-- Plan:       presentity_sweep_idx, presentity_pkey
-- Retry:      safe
-- RFC:        3903 section 6.1: expired event state is removed; kept 32 s as a tombstone, so that a copy of its first PUBLISH does not raise it
--
-- The row is locked before it is judged: a refresh that got in between is seen, and wins.
WITH due AS MATERIALIZED (
    SELECT p.id, is_live(p.expires, t.now) AS live, t.now
    FROM presentity AS p
    CROSS JOIN (SELECT COALESCE($3::timestamptz, now()) AS now) AS t
    WHERE p.sweep_at <= floor(extract(epoch FROM COALESCE($3::timestamptz, now())))::bigint AND NOT p.removed
    ORDER BY p.sweep_at
    LIMIT $1::bigint
    FOR UPDATE OF p SKIP LOCKED
),
quiet AS MATERIALIZED (
    -- Until the end of this transaction, which is this statement.
    SELECT set_config('pgpresence.quiet', CASE WHEN $2::boolean THEN 'on' ELSE 'off' END, true) AS set
)
UPDATE presentity AS p
SET removed  = NOT d.live,
    sweep_at = CASE WHEN NOT d.live THEN expiry_at(32, d.now)
                    WHEN p.expires = -1 THEN 9223372036854775807
                    ELSE p.expires END
FROM due AS d
CROSS JOIN quiet
WHERE p.id = d.id
