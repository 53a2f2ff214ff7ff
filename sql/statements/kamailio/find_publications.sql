-- kamailio.find_publications
-- Purpose:    see which publications Kamailio still has
-- Called by:  cli/src/import.rs, on Kamailio's database
-- Parameters: id int8[]
-- Returns:    id int8
-- Locks:      none
-- Plan:       presentity_pkey
-- Retry:      safe
-- RFC:        none
SELECT p.id::bigint AS id
FROM unnest(:id::bigint[]) AS i (id)
JOIN presentity AS p ON p.id = i.id
