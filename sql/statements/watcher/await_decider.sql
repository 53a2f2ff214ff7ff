-- watcher.await_decider
-- Purpose:    wait for what an earlier holder is still writing about the dialogs and watchers of presentities
-- Called by:  notifier/src/decider.rs, after a recovery
-- Parameters: presentity_uri text[]
-- Returns:    dialogs int8 | watchers int8
-- Locks:      active_watchers rows by (uri, event, id), then watchers rows by (uri, watcher, event), shared, for this statement only
-- Plan:       active_watchers_resource_idx, watchers_watcher_idx
-- Retry:      safe
-- RFC:        none
--
-- The earlier holder checks its lease when it has locked the rows. So what it may still write is locked by now, and visible
-- when this is over. Else its decision, made by older rules, could come after ours, which found nothing to change. A watcher of whom
-- it stores something for the first time has no row yet: it locks the dialog for that.
WITH dialogs AS MATERIALIZED (
    SELECT a.id
    FROM unnest(:presentity_uri::text[]) AS i (presentity_uri)
    JOIN active_watchers AS a ON a.presentity_uri = i.presentity_uri
    WHERE a.decided_version IS NOT NULL
    ORDER BY a.presentity_uri, a.event, a.id
    FOR SHARE OF a
),
counted AS MATERIALIZED (
    SELECT count(*) AS dialogs
    FROM dialogs AS d
),
decided AS MATERIALIZED (
    SELECT w.id
    FROM counted AS c
    CROSS JOIN unnest(:presentity_uri::text[]) AS i (presentity_uri)
    JOIN watchers AS w ON w.presentity_uri = i.presentity_uri
    WHERE c.dialogs >= 0
    ORDER BY w.presentity_uri, w.watcher_username, w.watcher_domain, w.event
    FOR SHARE OF w
)
SELECT c.dialogs, (SELECT count(*) FROM decided AS d) AS watchers
FROM counted AS c
