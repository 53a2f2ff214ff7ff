-- publication.delete_imported
-- Purpose:    forget publications that Kamailio had and has no more; it has notified their watchers
-- Called by:  cli/src/import.rs
-- Parameters: id int8[]
-- Returns:    nothing; the row count says how many
-- Locks:      presentity rows by (uri, event, id); nothing is queued
-- Plan:       presentity_pkey
-- Retry:      safe
-- RFC:        none
WITH locked AS MATERIALIZED (
    SELECT p.id
    FROM unnest(:id::bigint[]) AS i (id)
    JOIN presentity AS p ON p.id = i.id
    WHERE p.past_etags = '{}' AND NOT p.removed
    ORDER BY p.presentity_uri, p.event, p.id
    FOR UPDATE OF p
),
quiet AS MATERIALIZED (
    SELECT set_config('pgpresence.quiet', 'on', true) AS set
)
DELETE FROM presentity AS p
USING locked AS l, quiet
WHERE p.id = l.id
