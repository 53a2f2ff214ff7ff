-- watcher.change_decided
-- Purpose:    store what was decided about watchers of whom something else is stored
-- Called by:  notifier/src/decider/changes.rs, before watcher.decide_batch
-- Parameters: owner int8 | held text[] (presentities that are decided about) | presentity_uri text[] | watcher_username text[] | watcher_domain text[] | event text[] | status int2[] | reason text[] | view text[] | rules_version int8[] | recheck_at int8[] (epoch second, null = never) | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many changed
-- Locks:      watchers rows by (uri, watcher, event), then notify_queue by key (by trigger); notify_queue is read without a lock
-- Plan:       notify_queue_pkey, watchers_watcher_idx, watchers_pkey
-- Retry:      safe, a second run changes nothing
-- RFC:        3857 section 4.7.1
--
-- Fenced like watcher.create_decided. It is a statement of its own because an upsert fires both triggers, and each locks queue
-- rows.
WITH held AS MATERIALIZED (
    SELECT q.presentity_uri, q.lease_until
    FROM unnest(:held::text[]) AS i (presentity_uri)
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = 'presence'
    WHERE q.owner = :owner::bigint AND q.lease_until > COALESCE(:now::timestamptz, clock_timestamp())
),
locked AS MATERIALIZED (
    SELECT w.id, w.presentity_uri, i.status, i.reason, i.view, i.rules_version, i.recheck_at
    FROM unnest(:presentity_uri::text[], :watcher_username::text[], :watcher_domain::text[], :event::text[], :status::smallint[],
                :reason::text[], :view::text[], :rules_version::bigint[], :recheck_at::bigint[])
             AS i (presentity_uri, watcher_username, watcher_domain, event, status, reason, view, rules_version, recheck_at)
    JOIN watchers AS w ON w.presentity_uri = i.presentity_uri AND w.watcher_username = i.watcher_username
        AND w.watcher_domain = i.watcher_domain AND w.event = i.event
    WHERE (w.status, w.reason, w.view, w.rules_version, w.recheck_at)
          IS DISTINCT FROM (i.status, i.reason, i.view, i.rules_version, i.recheck_at)
      -- Who was given up on does not wait again: the presentity was notified that it is over.
      AND NOT (w.status = 4 AND w.reason = 'giveup' AND i.status = 4)
    ORDER BY w.presentity_uri, w.watcher_username, w.watcher_domain, w.event
    FOR UPDATE OF w
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
UPDATE watchers AS w
SET status          = l.status,
    reason          = l.reason,
    view            = l.view,
    rules_version   = l.rules_version,
    recheck_at      = l.recheck_at,
    inserted_time   = CASE WHEN w.status = l.status THEN w.inserted_time ELSE floor(extract(epoch FROM h.now))::bigint END,
    subscription_id = CASE WHEN l.status = 4 THEN w.subscription_id END
FROM locked AS l
JOIN still_held AS h ON h.presentity_uri = l.presentity_uri
WHERE w.id = l.id
