-- watcher.create_imported
-- Purpose:    store the authorization decisions of Kamailio about watchers who are not known here yet
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: $1 presentity_uri text[] | $2 watcher_username text[] | $3 watcher_domain text[] | $4 event text[] | $5 status int2[] | $6 reason text[] | $7 inserted_time int8[]
-- Returns:    nothing; the row count says how many were stored
-- Locks:      new keys of watchers by (uri, watcher, event), then notify_queue by key (by trigger)
-- Plan:       no table is read
-- Retry:      safe
-- RFC:        none
INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time)
SELECT i.presentity_uri, i.watcher_username, i.watcher_domain, i.event, i.status, i.reason, i.inserted_time
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::bigint[])
         AS i (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time)
ORDER BY i.presentity_uri COLLATE "C", i.watcher_username COLLATE "C", i.watcher_domain COLLATE "C", i.event COLLATE "C"
ON CONFLICT (presentity_uri, watcher_username, watcher_domain, event) DO NOTHING
