-- subscription.delete_imported
-- Purpose:    forget dialogs that Kamailio had and has no more; it has notified their subscribers
-- Called by:  cli/src/import.rs
-- Parameters: id int8[]
-- Returns:    nothing; the row count says how many
-- Locks:      active_watchers rows by (uri, event, id)
-- Plan:       active_watchers_pkey
-- Retry:      safe
-- RFC:        none
WITH locked AS MATERIALIZED (
    SELECT a.id
    FROM unnest(:id::bigint[]) AS i (id)
    JOIN active_watchers AS a ON a.id = i.id
    WHERE a.status <> 3 AND a.socket_info LIKE 'kamailio %' AND a.socket_info LIKE '% cseq=' || a.remote_cseq
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a
)
DELETE FROM active_watchers AS a
USING locked AS l
WHERE a.id = l.id
