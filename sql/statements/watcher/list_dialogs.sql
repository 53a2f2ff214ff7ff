-- watcher.list_dialogs
-- Purpose:    a page of the dialogs of one resource that are subject to rules
-- Called by:  notifier/src/decide.rs, when it is to be decided anew about all
-- Parameters: $1 presentity_uri text | $2 event text | $3 after_id int8 | $4 limit int8
-- Returns:    id int8 | watcher_username text | watcher_domain text | status int2 | view text | decided_version int8 | stored_status int2 (null in all of stored: nothing is stored of the watcher) | stored_reason text | stored_view text | stored_recheck_at int8
-- Locks:      none
-- Plan:       active_watchers_resource_idx, watchers_watcher_idx
-- Retry:      safe, reads only
-- RFC:        5025 section 3.1
SELECT
    a.id, a.watcher_username, a.watcher_domain, a.status, a.view, a.decided_version,
    w.status AS stored_status, w.reason AS stored_reason, w.view AS stored_view, w.recheck_at AS stored_recheck_at
FROM (
    SELECT a.id, a.presentity_uri, a.event, a.watcher_username, a.watcher_domain, a.status, a.view, a.decided_version
    FROM active_watchers AS a
    WHERE a.presentity_uri = $1::text AND a.event = $2::text AND a.id > $3::bigint
      AND a.decided_version IS NOT NULL AND NOT a.ended
    ORDER BY a.presentity_uri, a.event, a.id
    LIMIT $4::bigint
) AS a
LEFT JOIN watchers AS w ON w.presentity_uri = a.presentity_uri AND w.watcher_username = a.watcher_username
    AND w.watcher_domain = a.watcher_domain AND w.event = a.event
ORDER BY a.id
