-- watcher.change_imported
-- Purpose:    bring the authorization decisions that are here already up to date with Kamailio's; a later one of ours stays
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: presentity_uri text[] | watcher_username text[] | watcher_domain text[] | event text[] | status int2[] | reason text[] | inserted_time int8[] | dry bool (change nothing)
-- Returns:    ord int8 (from 1: an input that is here) | verdict text (changed, same, newer)
-- Locks:      watchers rows by (uri, watcher, event), then notify_queue by key (by trigger)
-- Plan:       watchers_watcher_idx, watchers_pkey
-- Retry:      safe
-- RFC:        none
WITH input AS MATERIALIZED (
    SELECT i.ord, i.presentity_uri, i.watcher_username, i.watcher_domain, i.event, i.status, i.reason, i.inserted_time
    FROM unnest(:presentity_uri::text[], :watcher_username::text[], :watcher_domain::text[], :event::text[], :status::smallint[],
                :reason::text[], :inserted_time::bigint[])
             WITH ORDINALITY
             AS i (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time, ord)
),
locked AS MATERIALIZED (
    SELECT
        i.ord, w.id, i.status, i.reason, i.inserted_time,
        CASE WHEN w.inserted_time > i.inserted_time THEN 'newer'
             WHEN w.status = i.status AND w.reason = i.reason AND w.inserted_time = i.inserted_time THEN 'same'
             ELSE 'changed' END AS verdict
    FROM input AS i
    JOIN watchers AS w ON w.presentity_uri = i.presentity_uri AND w.watcher_username = i.watcher_username
        AND w.watcher_domain = i.watcher_domain AND w.event = i.event
    ORDER BY w.presentity_uri, w.watcher_username, w.watcher_domain, w.event
    FOR UPDATE OF w
),
changed AS (
    UPDATE watchers AS w
    SET status        = l.status,
        reason        = l.reason,
        inserted_time = l.inserted_time
    FROM locked AS l
    WHERE w.id = l.id AND l.verdict = 'changed' AND NOT :dry::boolean
)
SELECT l.ord, l.verdict
FROM locked AS l
