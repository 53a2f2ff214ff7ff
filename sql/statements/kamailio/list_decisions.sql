-- kamailio.list_decisions
-- Purpose:    read a page of Kamailio's watchers
-- Called by:  cli/src/import.rs, on Kamailio's database, page after page
-- Parameters: after_id int8 | limit int8
-- Returns:    id int8 | presentity_uri text | watcher_username text | watcher_domain text | event text | status int8 | reason text | inserted_time int8
-- Locks:      none
-- Plan:       watchers_pkey
-- Retry:      safe
-- RFC:        none
SELECT
    w.id::bigint AS id, w.presentity_uri::text AS presentity_uri, w.watcher_username::text AS watcher_username,
    w.watcher_domain::text AS watcher_domain, w.event::text AS event, w.status::bigint AS status,
    COALESCE(w.reason, '')::text AS reason, w.inserted_time::bigint AS inserted_time
FROM watchers AS w
WHERE w.id > :after_id::bigint
ORDER BY w.id
LIMIT :limit::bigint
