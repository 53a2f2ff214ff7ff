-- watcher.create_imported
-- Purpose:    store the authorization decisions of Kamailio about watchers who are not known here yet
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: presentity_uri text[] | watcher_username text[] | watcher_domain text[] | event text[] | status int2[] | reason text[] | inserted_time int8[]
-- Returns:    nothing; the row count says how many were stored
-- Locks:      new keys of watchers by (uri, watcher, event), then notify_queue by key (by trigger)
-- Plan:       no table is read
-- Retry:      safe
-- RFC:        none
INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time)
SELECT i.presentity_uri, i.watcher_username, i.watcher_domain, i.event, i.status, i.reason, i.inserted_time
FROM unnest(:presentity_uri::text[], :watcher_username::text[], :watcher_domain::text[], :event::text[], :status::smallint[],
            :reason::text[], :inserted_time::bigint[])
         AS i (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time)
ORDER BY i.presentity_uri COLLATE "C", i.watcher_username COLLATE "C", i.watcher_domain COLLATE "C", i.event COLLATE "C"
ON CONFLICT (presentity_uri, watcher_username, watcher_domain, event) DO NOTHING
