-- watcher.list_persons
-- Purpose:    a page of the decisions about the watchers of presentities
-- Called by:  notifier/src/decider.rs, when it is to be decided anew about all
-- Parameters: presentity_uri text[] | after_username text | after_domain text | after_event text (of the first presentity: after this one) | limit int8
-- Returns:    resource int8 (ordinal, from 1) | watcher_username text | watcher_domain text | event text | status int2 | reason text | view text | recheck_at int8
-- Locks:      none
-- Plan:       watchers_watcher_idx
-- Retry:      safe, reads only
-- RFC:        3857 section 4.7.1 (who waits is decided about as well)
SELECT i.ord AS resource, w.watcher_username, w.watcher_domain, w.event, w.status, w.reason, w.view, w.recheck_at
FROM unnest(:presentity_uri::text[]) WITH ORDINALITY AS i (presentity_uri, ord)
CROSS JOIN LATERAL (
    SELECT w.watcher_username, w.watcher_domain, w.event, w.status, w.reason, w.view, w.recheck_at
    FROM watchers AS w
    WHERE w.presentity_uri = i.presentity_uri
      AND (w.watcher_username, w.watcher_domain, w.event)
          > (CASE WHEN i.ord = 1 THEN :after_username::text ELSE '' END, CASE WHEN i.ord = 1 THEN :after_domain::text ELSE '' END,
             CASE WHEN i.ord = 1 THEN :after_event::text ELSE '' END)
    ORDER BY w.presentity_uri, w.watcher_username, w.watcher_domain, w.event
    LIMIT :limit::bigint
) AS w
ORDER BY i.ord, w.watcher_username, w.watcher_domain, w.event
LIMIT :limit::bigint
