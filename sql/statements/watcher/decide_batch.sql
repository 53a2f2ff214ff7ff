-- watcher.decide_batch
-- Purpose:    write down what was decided about dialogs, and flag those that are to be notified
-- Called by:  notifier/src/decider/changes.rs, when what was decided about their watchers is stored
-- Parameters: owner int8 | held text[] (presentities that are decided about) | id int8[] | status_before int2[] | status int2[] | reason text[] (null keeps it) | view text[] | tell bool[] | rules_version int8[] | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many changed
-- Locks:      active_watchers rows by (uri, event, id), then notify_queue by key (by trigger); notify_queue is read without a lock
-- Plan:       notify_queue_pkey, active_watchers_pkey
-- Retry:      safe, a second run writes the same
-- RFC:        3857 section 4.7.1, 6665 section 4.2.2
--
-- Compare-and-swap: a dialog that was ended, or came to an end, since it was read is left as it is, and its trigger has made the
-- presentity due again.
-- Only the holder of the presentity's row writes, by the database's clock, read when the dialogs are locked. Whoever recovers the
-- row after that moment waits for our commit (watcher.await_decider) before it reads what it decides about.
WITH held AS MATERIALIZED (
    SELECT q.presentity_uri, q.lease_until
    FROM unnest(:held::text[]) AS i (presentity_uri)
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = 'presence'
    WHERE q.owner = :owner::bigint AND q.lease_until > COALESCE(:now::timestamptz, clock_timestamp())
),
locked AS MATERIALIZED (
    SELECT a.id, a.presentity_uri, i.status, i.reason, i.view, i.tell, i.rules_version
    FROM unnest(:id::bigint[], :status_before::smallint[], :status::smallint[], :reason::text[], :view::text[], :tell::boolean[],
                :rules_version::bigint[])
             AS i (id, status_before, status, reason, view, tell, rules_version)
    JOIN active_watchers AS a ON a.id = i.id
    WHERE a.status = i.status_before AND a.decided_version <= i.rules_version AND NOT a.ended
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a
),
still_held AS MATERIALIZED (
    SELECT h.presentity_uri, COALESCE(:now::timestamptz, now()) AS now
    FROM (SELECT count(*) AS rows FROM locked) AS l
    CROSS JOIN LATERAL (
        SELECT h.presentity_uri
        FROM held AS h
        WHERE l.rows >= 0 AND h.lease_until > COALESCE(:now::timestamptz, clock_timestamp())
        -- A fence: the clock is read when the last row is locked.
        OFFSET 0
    ) AS h
)
UPDATE active_watchers AS a
SET status          = l.status,
    reason          = COALESCE(l.reason, a.reason),
    view            = l.view,
    decided_version = l.rules_version,
    updated         = CASE WHEN l.tell THEN 0 ELSE a.updated END,
    sweep_at        = CASE WHEN l.status = 3 AND a.status <> 3 THEN expiry_at(300, h.now) ELSE a.sweep_at END
FROM locked AS l
JOIN still_held AS h ON h.presentity_uri = l.presentity_uri
WHERE a.id = l.id
