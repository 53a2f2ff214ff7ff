-- publication.list_imported
-- Purpose:    list publications that came from Kamailio and that no PUBLISH has touched here
-- Called by:  cli/src/import.rs, page after page
-- Parameters: after_id int8 | limit int8
-- Returns:    id int8 | source_id int8
-- Locks:      none
-- Plan:       presentity_pkey
-- Retry:      safe
-- RFC:        none
SELECT p.id, substr(p.ruid, 10)::bigint AS source_id
FROM presentity AS p
-- No LIKE: with the C collation it would look for the prefix in the whole of presentity_resource_idx.
WHERE p.id > :after_id::bigint AND left(p.ruid, 9) = 'kamailio:' AND substr(p.ruid, 10) ~ '^[0-9]{1,18}$' AND p.past_etags = '{}'
  AND NOT p.removed
ORDER BY p.id
LIMIT :limit::bigint
