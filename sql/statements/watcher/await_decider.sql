-- watcher.await_decider
-- Purpose:    wait for what an earlier holder is still writing about the dialogs of presentities
-- Called by:  notifier/src/decide.rs, after a recovery
-- Parameters: $1 presentity_uri text[]
-- Returns:    dialogs int8
-- Locks:      active_watchers rows by (uri, event, id), shared, for this statement only
-- Plan:       active_watchers_resource_idx
-- Retry:      safe
-- RFC:        none
--
-- The earlier holder checks its lease when it has locked the dialogs. So what it may still write is locked by now, and visible
-- when this is over. Else its decision, made by older rules, could come after ours, which found nothing to change.
SELECT count(*) AS dialogs
FROM (
    SELECT a.id
    FROM unnest($1::text[]) AS i (presentity_uri)
    JOIN active_watchers AS a ON a.presentity_uri = i.presentity_uri
    WHERE a.decided_version IS NOT NULL
    ORDER BY a.presentity_uri, a.event, a.id
    FOR SHARE OF a
) AS l
