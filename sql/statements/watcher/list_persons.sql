-- watcher.list_persons
-- Purpose:    a page of the decisions about the watchers of a presentity
-- Called by:  notifier/src/decide.rs, when it is to be decided anew about all
-- Parameters: $1 presentity_uri text | $2 after_username text | $3 after_domain text | $4 after_event text | $5 limit int8
-- Returns:    watcher_username text | watcher_domain text | event text | status int2 | reason text | view text | recheck_at int8
-- Locks:      none
-- Plan:       watchers_watcher_idx
-- Retry:      safe, reads only
-- RFC:        3857 section 4.7.1 (who waits is decided about as well)
SELECT w.watcher_username, w.watcher_domain, w.event, w.status, w.reason, w.view, w.recheck_at
FROM watchers AS w
WHERE w.presentity_uri = $1::text
  AND (w.watcher_username, w.watcher_domain, w.event) > ($2::text, $3::text, $4::text)
ORDER BY w.presentity_uri, w.watcher_username, w.watcher_domain, w.event
LIMIT $5::bigint
