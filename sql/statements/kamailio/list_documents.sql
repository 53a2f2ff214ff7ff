-- kamailio.list_documents
-- Purpose:    read a page of Kamailio's xcap
-- Called by:  cli/src/import.rs, on Kamailio's database, page after page
-- Parameters: after_id int8 | limit int8
-- Returns:    id int8 | username text | domain text | doc bytea | doc_type int8 | etag text | source int8 | doc_uri text | port int8
-- Locks:      none
-- Plan:       xcap_pkey
-- Retry:      safe
-- RFC:        none
SELECT
    x.id::bigint AS id, x.username::text AS username, x.domain::text AS domain, x.doc, x.doc_type::bigint AS doc_type,
    x.etag::text AS etag, x.source::bigint AS source, x.doc_uri::text AS doc_uri, x.port::bigint AS port
FROM xcap AS x
WHERE x.id > :after_id::bigint
ORDER BY x.id
LIMIT :limit::bigint
