-- watcher.list_undecided
-- Purpose:    the dialogs about which nothing was decided yet
-- Called by:  notifier/src/decider.rs
-- Parameters: presentity_uri text[] | limit int8
-- Returns:    resource int8 (ordinal, from 1) | id int8 | event text | watcher_username text | watcher_domain text | status int2 | view text | decided_version int8 (-1) | stored_status int2 (null in all of stored: nothing is stored of the watcher) | stored_reason text | stored_view text | stored_recheck_at int8
-- Locks:      none
-- Plan:       active_watchers_undecided_idx, watchers_watcher_idx, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe, reads only
-- RFC:        5025 section 3.1
--
-- They are flagged, all of them: a SUBSCRIBE waits for its NOTIFY. Not those whose decision could not be written (quarantine).
SELECT
    i.ord AS resource, a.id, a.event, a.watcher_username, a.watcher_domain, a.status, a.view, a.decided_version,
    w.status AS stored_status, w.reason AS stored_reason, w.view AS stored_view, w.recheck_at AS stored_recheck_at
FROM unnest(:presentity_uri::text[]) WITH ORDINALITY AS i (presentity_uri, ord)
CROSS JOIN LATERAL (
    SELECT a.id, a.presentity_uri, a.event, a.watcher_username, a.watcher_domain, a.status, a.view, a.decided_version
    FROM active_watchers AS a
    WHERE a.presentity_uri = i.presentity_uri AND a.updated <> -1 AND a.decided_version = -1
      AND a.id NOT IN (SELECT x.dialog FROM quarantine AS x WHERE x.dialog > 0 AND x.retry_at > now())
    ORDER BY a.presentity_uri, a.event, a.id
    LIMIT :limit::bigint
) AS a
LEFT JOIN watchers AS w ON w.presentity_uri = a.presentity_uri AND w.watcher_username = a.watcher_username
    AND w.watcher_domain = a.watcher_domain AND w.event = a.event
LIMIT :limit::bigint
