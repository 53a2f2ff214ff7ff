-- publication.hand_on_ends
-- Purpose:    give what publications about to be forgotten know of ended dialogs to one that is still there, if any is
-- Called by:  notifier/src/sweep.rs, before publication.delete_removed
-- Parameters: $1 limit int8 | $2 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were touched
-- Locks:      free presentity rows (SKIP LOCKED: never waits)
-- Plan:       presentity_sweep_idx, presentity_resource_idx, presentity_pkey
-- Retry:      safe
-- RFC:        4235 section 3.7.1: nothing leaves terminated
--
-- An end is of use as long as a publication of the same resource could say otherwise: one that is older, or that a slower server
-- stored within 64*T1. Which one does cannot be told from here, but all ends of a resource are read together, so any one of its
-- publications can keep them. The oldest does: it is the one that is most likely wrong. Where there is none, nobody
-- contradicts, and they are forgotten.
-- Keeping the tombstones themselves would cost a row for each call of a line whose phone has published for days.
-- A publication that somebody has locked inherits in the next round; so long, the tombstone stays.
WITH due AS MATERIALIZED (
    SELECT p.id, p.presentity_uri, p.event, p.ended, p.ended_at
    FROM presentity AS p
    WHERE p.sweep_at <= floor(extract(epoch FROM COALESCE($2::timestamptz, now())))::bigint AND p.removed AND p.ended <> '{}'
    ORDER BY p.sweep_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
),
heirs AS MATERIALIZED (
    SELECT d.presentity_uri, d.event,
           (SELECT min(o.id)
            FROM presentity AS o
            WHERE o.presentity_uri = d.presentity_uri AND o.event = d.event AND NOT o.removed) AS id
    FROM (SELECT DISTINCT presentity_uri, event FROM due) AS d
),
locked AS MATERIALIZED (
    SELECT p.presentity_uri, p.event, p.id
    FROM heirs AS h
    JOIN presentity AS p ON p.id = h.id
    WHERE NOT p.removed
    ORDER BY p.presentity_uri, p.event, p.id
    FOR UPDATE OF p SKIP LOCKED
),
changes AS MATERIALIZED (
    SELECT d.id, '{}'::bigint[] AS ended, '{}'::bigint[] AS ended_at, true AS emptied
    FROM due AS d
    JOIN heirs AS h ON h.presentity_uri = d.presentity_uri AND h.event = d.event
    WHERE h.id IS NULL OR EXISTS (SELECT 1 FROM locked AS l WHERE l.id = h.id)
    UNION ALL
    SELECT l.id, array_agg(e.key), array_agg(e.at), false
    FROM locked AS l
    JOIN due AS d ON d.presentity_uri = l.presentity_uri AND d.event = l.event
    CROSS JOIN LATERAL unnest(d.ended, d.ended_at) AS e (key, at)
    GROUP BY l.id
)
UPDATE presentity AS p
SET ended    = CASE WHEN c.emptied THEN c.ended ELSE
                    ARRAY(SELECT e.key
                          FROM unnest(p.ended || c.ended, p.ended_at || c.ended_at) AS e (key, at)
                          GROUP BY e.key ORDER BY max(e.at) DESC, e.key LIMIT 128) END,
    ended_at = CASE WHEN c.emptied THEN c.ended_at ELSE
                    ARRAY(SELECT max(e.at)
                          FROM unnest(p.ended || c.ended, p.ended_at || c.ended_at) AS e (key, at)
                          GROUP BY e.key ORDER BY max(e.at) DESC, e.key LIMIT 128) END
FROM changes AS c
WHERE p.id = c.id
