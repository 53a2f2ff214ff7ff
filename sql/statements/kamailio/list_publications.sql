-- kamailio.list_publications
-- Purpose:    read a page of Kamailio's presentity
-- Called by:  cli/src/import.rs, on Kamailio's database, page after page
-- Parameters: after_id int8 | limit int8
-- Returns:    id int8 | username text | domain text | event text | etag text | expires int8 | received_time int8 | body bytea | sender text | priority int8 | now int8
-- Locks:      none
-- Plan:       presentity_pkey
-- Retry:      safe
-- RFC:        none
SELECT
    p.id::bigint AS id, p.username::text AS username, p.domain::text AS domain, p.event::text AS event, p.etag::text AS etag,
    p.expires::bigint AS expires, p.received_time::bigint AS received_time, p.body, COALESCE(p.sender, '')::text AS sender,
    COALESCE(p.priority, 0)::bigint AS priority, floor(extract(epoch FROM now()))::bigint AS now
FROM presentity AS p
WHERE p.id > :after_id::bigint
ORDER BY p.id
LIMIT :limit::bigint
