-- xcap.put_imported
-- Purpose:    store XCAP documents of Kamailio; where both have one, Kamailio's stands
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: $1 username text[] | $2 domain text[] | $3 doc bytea[] | $4 doc_type int8[] | $5 etag text[] | $6 source int8[] | $7 doc_uri text[] | $8 port int8[] | $9 dry bool (change nothing)
-- Returns:    ord int8 (from 1) | verdict text (created, changed, same)
-- Locks:      xcap rows by doc_uri, then notify_queue by key (by trigger, for pidf-manipulation; once for new and once for changed documents)
-- Plan:       xcap_doc_uri_idx
-- Retry:      safe
-- RFC:        4825 section 7.11: the entity-tag changes with the document
--
-- A document has no time, so nothing tells which is newer.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.username, i.domain, i.doc, i.doc_type, i.etag, i.source, i.doc_uri, i.port
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::bigint[])
             WITH ORDINALITY
             AS i (username, domain, doc, doc_type, etag, source, doc_uri, port, ord)
),
judged AS MATERIALIZED (
    SELECT
        i.ord, i.username, i.domain, i.doc, i.doc_type, i.etag, i.source, i.doc_uri, i.port,
        CASE WHEN x.id IS NULL THEN 'created'
             WHEN x.username = i.username AND x.domain = i.domain AND x.doc = i.doc AND x.doc_type = i.doc_type
                  AND x.etag = i.etag AND x.source = i.source AND x.port = i.port THEN 'same'
             ELSE 'changed' END AS verdict
    FROM input AS i
    LEFT JOIN LATERAL (
        SELECT x.id, x.username, x.domain, x.doc, x.doc_type, x.etag, x.source, x.port
        FROM xcap AS x
        WHERE x.doc_uri = i.doc_uri
        -- A fence: one look-up by key for each input, also while the table is empty.
        LIMIT 1
    ) AS x ON true
),
stored AS (
    INSERT INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port)
    SELECT j.username, j.domain, j.doc, j.doc_type, j.etag, j.source, j.doc_uri, j.port
    FROM judged AS j
    WHERE j.verdict <> 'same' AND NOT $9::boolean
    ORDER BY j.doc_uri COLLATE "C"
    ON CONFLICT (doc_uri) DO UPDATE
    SET username = EXCLUDED.username,
        domain   = EXCLUDED.domain,
        doc      = EXCLUDED.doc,
        doc_type = EXCLUDED.doc_type,
        etag     = EXCLUDED.etag,
        source   = EXCLUDED.source,
        port     = EXCLUDED.port
)
SELECT j.ord, j.verdict
FROM judged AS j
