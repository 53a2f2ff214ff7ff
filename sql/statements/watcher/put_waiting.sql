-- watcher.put_waiting
-- Purpose:    let those wait whose last pending dialog is over, so that the presentity still learns of them
-- Called by:  notifier/src/decider.rs, after each decision
-- Parameters: owner int8 | presentity_uri text[] | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many wait from now on
-- Locks:      watchers rows by (uri, watcher, event), then notify_queue by key (by trigger); notify_queue and active_watchers are read without a lock
-- Plan:       notify_queue_pkey, watchers_pending_idx, watchers_pkey, active_watchers_pending_idx, active_watchers_resource_idx
-- Retry:      safe
-- RFC:        3857 section 4.7.1 (pending, timeout: waiting)
--
-- A dialog that comes after our snapshot is undecided: deciding about it makes its watcher pending again.
WITH over AS MATERIALIZED (
    SELECT w.id, t.now,
           -- The dialog that is over: watcher information goes on to call the watcher by it. 0: we ended it, as when an active watcher is
           -- to be confirmed anew (deactivated). That is terminated, and not waiting; the watcher may come back, and is pending then.
           (SELECT CASE WHEN a.reason IN ('', 'timeout') THEN a.id ELSE 0 END
            FROM active_watchers AS a
            WHERE a.presentity_uri = w.presentity_uri AND a.event = w.event AND a.watcher_username = w.watcher_username
              AND a.watcher_domain = w.watcher_domain
            ORDER BY a.presentity_uri DESC, a.event DESC, a.id DESC
            LIMIT 1) AS subscription_id
    FROM unnest(:presentity_uri::text[]) AS i (presentity_uri)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = 'presence'
    JOIN watchers AS w ON w.presentity_uri = i.presentity_uri
    WHERE q.owner = :owner::bigint AND q.lease_until > COALESCE(:now::timestamptz, clock_timestamp())
      AND w.status = 2
      AND (SELECT true
           FROM active_watchers AS a
           WHERE a.presentity_uri = w.presentity_uri AND a.event = w.event AND a.watcher_username = w.watcher_username
             AND a.watcher_domain = w.watcher_domain AND a.status = 2
           LIMIT 1) IS NULL
    ORDER BY w.presentity_uri, w.watcher_username, w.watcher_domain, w.event
    FOR UPDATE OF w
)
UPDATE watchers AS w
SET status          = 4,
    reason          = 'timeout',
    inserted_time   = floor(extract(epoch FROM o.now))::bigint,
    subscription_id = o.subscription_id
FROM over AS o
WHERE w.id = o.id AND o.subscription_id IS DISTINCT FROM 0
