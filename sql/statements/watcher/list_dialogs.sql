-- watcher.list_dialogs
-- Purpose:    a page of the dialogs of resources that are subject to rules
-- Called by:  notifier/src/decider.rs, when it is to be decided anew about all
-- Parameters: presentity_uri text[] | event text[] | after_id int8 (of the first resource: after this one) | limit int8
-- Returns:    resource int8 (ordinal, from 1) | id int8 | watcher_username text | watcher_domain text | status int2 | view text | decided_version int8 | stored_status int2 (null in all of stored: nothing is stored of the watcher) | stored_reason text | stored_view text | stored_recheck_at int8
-- Locks:      none
-- Plan:       active_watchers_resource_idx, watchers_watcher_idx
-- Retry:      safe, reads only
-- RFC:        5025 section 3.1
SELECT
    a.ord AS resource, a.id, a.watcher_username, a.watcher_domain, a.status, a.view, a.decided_version,
    w.status AS stored_status, w.reason AS stored_reason, w.view AS stored_view, w.recheck_at AS stored_recheck_at
FROM (
    SELECT i.ord, a.id, a.presentity_uri, a.event, a.watcher_username, a.watcher_domain, a.status, a.view, a.decided_version
    FROM unnest(:presentity_uri::text[], :event::text[]) WITH ORDINALITY AS i (presentity_uri, event, ord)
    CROSS JOIN LATERAL (
        SELECT a.id, a.presentity_uri, a.event, a.watcher_username, a.watcher_domain, a.status, a.view, a.decided_version
        FROM active_watchers AS a
        WHERE a.presentity_uri = i.presentity_uri AND a.event = i.event AND a.id > CASE WHEN i.ord = 1 THEN :after_id::bigint ELSE 0 END
          AND a.decided_version IS NOT NULL AND NOT a.ended
        ORDER BY a.presentity_uri, a.event, a.id
        LIMIT :limit::bigint
    ) AS a
    ORDER BY i.ord, a.id
    LIMIT :limit::bigint
) AS a
LEFT JOIN watchers AS w ON w.presentity_uri = a.presentity_uri AND w.watcher_username = a.watcher_username
    AND w.watcher_domain = a.watcher_domain AND w.event = a.event
ORDER BY a.ord, a.id
