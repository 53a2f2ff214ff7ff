-- xcap.create_imported
-- Purpose:    store the XCAP documents of Kamailio that are not here yet
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: $1 username text[] | $2 domain text[] | $3 doc bytea[] | $4 doc_type int8[] | $5 etag text[] | $6 source int8[] | $7 doc_uri text[] | $8 port int8[]
-- Returns:    nothing; the row count says how many were stored
-- Locks:      new keys of xcap by doc_uri, then notify_queue by key (by trigger)
-- Plan:       xcap_doc_uri_idx
-- Retry:      safe
-- RFC:        none
INSERT INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port)
SELECT i.username, i.domain, i.doc, i.doc_type, i.etag, i.source, i.doc_uri, i.port
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::bigint[])
         AS i (username, domain, doc, doc_type, etag, source, doc_uri, port)
ORDER BY i.doc_uri COLLATE "C"
ON CONFLICT (doc_uri) DO NOTHING
