-- subscription.list_contacts
-- Purpose:    who watches resources, and where: to find the dialogs of whoever made a change
-- Called by:  notifier/src/step/take/reading.rs, before the take of a change whose sender is known
-- Parameters: presentity_uri text[] | event text[]
-- Returns:    resource int8 (ordinal, from 1) | id int8 | contact text | watcher_username text | watcher_domain text
-- Locks:      none
-- Plan:       active_watchers_resource_idx
-- Retry:      safe, reads only
-- RFC:        none
--
-- All living dialogs, not only those with something due: take compares what each was notified of.
SELECT i.ord AS resource, a.id, a.contact, a.watcher_username, a.watcher_domain
FROM unnest(:presentity_uri::text[], :event::text[]) WITH ORDINALITY AS i (presentity_uri, event, ord)
CROSS JOIN LATERAL (
    SELECT a.id, a.contact, a.watcher_username, a.watcher_domain
    FROM active_watchers AS a
    WHERE a.presentity_uri = i.presentity_uri AND a.event = i.event AND a.status = 1 AND NOT a.ended
    -- A fence: one look-up by key for each resource, also in a session that planned while the table was empty.
    OFFSET 0
) AS a
