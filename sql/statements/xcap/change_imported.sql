-- xcap.change_imported
-- Purpose:    bring the XCAP documents that are here already up to date with Kamailio's; where both have one, Kamailio's stands
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: username text[] | domain text[] | doc bytea[] | doc_type int8[] | etag text[] | source int8[] | doc_uri text[] | port int8[] | dry bool (change nothing)
-- Returns:    ord int8 (from 1: an input that is here) | verdict text (changed, same)
-- Locks:      xcap rows by doc_uri, then notify_queue by key (by trigger)
-- Plan:       xcap_doc_uri_idx, xcap_pkey
-- Retry:      safe
-- RFC:        4825 section 7.11: the entity-tag changes with the document
--
-- A document has no time, so nothing tells which is newer.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.username, i.domain, i.doc, i.doc_type, i.etag, i.source, i.doc_uri, i.port
    FROM unnest(:username::text[], :domain::text[], :doc::bytea[], :doc_type::bigint[], :etag::text[], :source::bigint[],
                :doc_uri::text[], :port::bigint[])
             WITH ORDINALITY
             AS i (username, domain, doc, doc_type, etag, source, doc_uri, port, ord)
),
locked AS MATERIALIZED (
    SELECT
        i.ord, x.id, i.username, i.domain, i.doc, i.doc_type, i.etag, i.source, i.port,
        CASE WHEN x.username = i.username AND x.domain = i.domain AND x.doc = i.doc AND x.doc_type = i.doc_type
                  AND x.etag = i.etag AND x.source = i.source AND x.port = i.port THEN 'same'
             ELSE 'changed' END AS verdict
    FROM input AS i
    JOIN xcap AS x ON x.doc_uri = i.doc_uri
    ORDER BY x.doc_uri
    FOR UPDATE OF x
),
changed AS (
    UPDATE xcap AS x
    SET username = l.username,
        domain   = l.domain,
        doc      = l.doc,
        doc_type = l.doc_type,
        etag     = l.etag,
        source   = l.source,
        port     = l.port
    FROM locked AS l
    WHERE x.id = l.id AND l.verdict = 'changed' AND NOT :dry::boolean
)
SELECT l.ord, l.verdict
FROM locked AS l
