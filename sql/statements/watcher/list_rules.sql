-- watcher.list_rules
-- Purpose:    the rules documents of presentities, and about whom is to be decided
-- Called by:  notifier/src/decider.rs, first of all
-- Parameters: presentity_uri text[] | now timestamptz (tests only, else null)
-- Returns:    resource int8 (ordinal, from 1) | rules_version int8 | decided_rules int8 (lower: all watchers are to be decided about) | recheck_due bool (so they are because of the time) | now_us int8 (epoch microsecond) | doc bytea (null in the only row of a presentity without)
-- Locks:      none
-- Plan:       notify_queue_pkey, xcap_rules_idx, watchers_recheck_idx
-- Retry:      safe, reads only
-- RFC:        5025 section 9.7 (all documents are used)
--
-- Documents and their number come from one snapshot. Whoever commits another document after it makes the presentity due again.
SELECT
    i.ord AS resource,
    COALESCE(q.rules_version, 0) AS rules_version,
    COALESCE(q.decided_rules, 0) AS decided_rules,
    (SELECT true
     FROM watchers AS w
     WHERE w.presentity_uri = i.presentity_uri AND w.recheck_at IS NOT NULL AND w.recheck_at <= extract(epoch FROM t.now)
     LIMIT 1) IS NOT NULL AS recheck_due,
    (extract(epoch FROM t.now) * 1000000)::bigint AS now_us,
    x.doc
FROM unnest(:presentity_uri::text[]) WITH ORDINALITY AS i (presentity_uri, ord)
CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
LEFT JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = 'presence'
LEFT JOIN LATERAL (
    SELECT x.id, x.doc
    FROM xcap AS x
    WHERE x.presentity_uri = i.presentity_uri AND x.doc_type = 2
    -- A fence: one look-up by key for each presentity, also in a session that planned while the table was empty.
    OFFSET 0
) AS x ON true
ORDER BY i.ord, x.id
