-- queue.renew
-- Purpose:    lengthen the leases that this notifier still holds
-- Called by:  notifier/src/engine/leases.rs, when half of a lease is over
-- Parameters: owner int8 | presentity_uri text[] | event text[] | lease_s float8 | now timestamptz (tests only, else null)
-- Returns:    presentity_uri text | event text | renewed bool (false: it is held, and somebody has the row locked); none of what is lost
-- Locks:      free notify_queue rows (SKIP LOCKED), watcher information last, by (uri, event)
-- Plan:       notify_queue_pkey
-- Retry:      safe
-- RFC:        none
--
-- due is computed from what there is to do, never moved along with the lease: a change that came during the lease stays due when the
-- pacing allows, also when that is later than the old end of the lease.
WITH held AS MATERIALIZED (
    SELECT q.presentity_uri, q.event, t.now, t.now + make_interval(secs => :lease_s::double precision) AS lease_until
    FROM unnest(:presentity_uri::text[], :event::text[]) AS i (presentity_uri, event)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = i.event
    WHERE q.owner = :owner::bigint AND q.lease_until > t.now
),
locked AS MATERIALIZED (
    SELECT q.presentity_uri, q.event, h.now, h.lease_until
    FROM held AS h
    JOIN notify_queue AS q ON q.presentity_uri = h.presentity_uri AND q.event = h.event
    WHERE q.owner = :owner::bigint AND q.lease_until > h.now
    ORDER BY is_winfo(q.event), q.presentity_uri, q.event
    FOR UPDATE OF q SKIP LOCKED
),
renewed AS (
    UPDATE notify_queue AS q
    SET lease_until = l.lease_until,
        due         = LEAST(l.lease_until, q.flagged_due, q.decide_at, GREATEST(q.changes_at, q.not_before),
                            CASE WHEN q.version > q.claimed_version THEN GREATEST(l.now, q.not_before) END)
    FROM locked AS l
    WHERE q.presentity_uri = l.presentity_uri AND q.event = l.event
    RETURNING q.presentity_uri, q.event
)
SELECT h.presentity_uri, h.event, r.event IS NOT NULL AS renewed
FROM held AS h
LEFT JOIN renewed AS r ON r.presentity_uri = h.presentity_uri AND r.event = h.event
