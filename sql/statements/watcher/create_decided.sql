-- watcher.create_decided
-- Purpose:    store what was decided about watchers of whom nothing is stored yet
-- Called by:  notifier/src/decider/changes.rs, before watcher.change_decided
-- Parameters: owner int8 | held text[] (presentities that are decided about) | dialog int8[] (of the watcher) | presentity_uri text[] | watcher_username text[] | watcher_domain text[] | event text[] | status int2[] | reason text[] | view text[] | rules_version int8[] | recheck_at int8[] (epoch second, null = never) | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were new
-- Locks:      active_watchers rows by (uri, event, id), then new keys of watchers by (uri, watcher, event), then notify_queue by key (by trigger); notify_queue is read without a lock
-- Plan:       notify_queue_pkey, active_watchers_pkey
-- Retry:      safe, a second run stores nothing
-- RFC:        3857 section 4.7.1
--
-- Only the holder of the presentity's row writes, by the database's clock, read when the dialogs are locked. Whoever recovers that
-- row waits for these locks (watcher.await_decider), and so for our commit.
WITH held AS MATERIALIZED (
    SELECT q.presentity_uri, q.lease_until
    FROM unnest(:held::text[]) AS i (presentity_uri)
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = 'presence'
    WHERE q.owner = :owner::bigint AND q.lease_until > COALESCE(:now::timestamptz, clock_timestamp())
),
input AS MATERIALIZED (
    SELECT p.dialog, p.presentity_uri, p.watcher_username, p.watcher_domain, p.event, p.status, p.reason, p.view,
           p.rules_version, p.recheck_at
    FROM unnest(:dialog::bigint[], :presentity_uri::text[], :watcher_username::text[], :watcher_domain::text[], :event::text[],
                :status::smallint[], :reason::text[], :view::text[], :rules_version::bigint[], :recheck_at::bigint[])
             AS p (dialog, presentity_uri, watcher_username, watcher_domain, event, status, reason, view, rules_version,
                   recheck_at)
),
locked AS MATERIALIZED (
    SELECT a.id
    FROM input AS i
    JOIN active_watchers AS a ON a.id = i.dialog
    ORDER BY a.presentity_uri, a.event, a.id
    FOR NO KEY UPDATE OF a
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
INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason, view, rules_version, recheck_at,
                      inserted_time, subscription_id)
SELECT i.presentity_uri, i.watcher_username, i.watcher_domain, i.event, i.status, i.reason, i.view, i.rules_version,
       i.recheck_at, floor(extract(epoch FROM h.now))::bigint, CASE WHEN i.status = 4 THEN i.dialog END
FROM input AS i
JOIN still_held AS h ON h.presentity_uri = i.presentity_uri
ORDER BY i.presentity_uri COLLATE "C", i.watcher_username COLLATE "C", i.watcher_domain COLLATE "C", i.event COLLATE "C"
ON CONFLICT (presentity_uri, watcher_username, watcher_domain, event) DO NOTHING
