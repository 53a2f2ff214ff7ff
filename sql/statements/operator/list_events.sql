-- operator.list_events
-- Purpose:    the event packages in which a presentity publishes, or is watched
-- Called by:  cli/src/explain.rs
-- Parameters: presentity_uri text
-- Returns:    event text
-- Locks:      none
-- Plan:       presentity_resource_idx, active_watchers_resource_idx
-- Retry:      safe, reads only
-- RFC:        none
SELECT p.event FROM presentity AS p WHERE p.presentity_uri = :presentity_uri::text
UNION
SELECT a.event FROM active_watchers AS a WHERE a.presentity_uri = :presentity_uri::text
ORDER BY event
