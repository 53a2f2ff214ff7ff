-- xcap.create_imported
-- Purpose:    store the XCAP documents of Kamailio that are not here yet
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: username text[] | domain text[] | doc bytea[] | doc_type int8[] | etag text[] | source int8[] | doc_uri text[] | port int8[]
-- Returns:    nothing; the row count says how many were stored
-- Locks:      new keys of xcap by doc_uri, then notify_queue by key (by trigger)
-- Plan:       xcap_doc_uri_idx
-- Retry:      safe
-- RFC:        none
INSERT INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port)
SELECT i.username, i.domain, i.doc, i.doc_type, i.etag, i.source, i.doc_uri, i.port
FROM unnest(:username::text[], :domain::text[], :doc::bytea[], :doc_type::bigint[], :etag::text[], :source::bigint[],
            :doc_uri::text[], :port::bigint[])
         AS i (username, domain, doc, doc_type, etag, source, doc_uri, port)
ORDER BY i.doc_uri COLLATE "C"
ON CONFLICT (doc_uri) DO NOTHING
