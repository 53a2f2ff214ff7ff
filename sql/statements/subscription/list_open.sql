-- subscription.list_open
-- Purpose:    the dialogs of a resource, to find the one that an error is about
-- Called by:  notifier/src/step/take/taking.rs, when a take of this resource alone failed
-- Parameters: presentity_uri text | event text
-- Returns:    id int8 | target_version int4
-- Locks:      none
-- Plan:       active_watchers_resource_idx
-- Retry:      safe, reads only
-- RFC:        none
SELECT a.id, a.target_version
FROM active_watchers AS a
WHERE a.presentity_uri = :presentity_uri::text AND a.event = :event::text AND NOT a.ended
ORDER BY a.presentity_uri, a.event, a.id
