-- xcap.list_lists
-- Purpose:    the resource lists of those whom rules name
-- Called by:  sql/src/judge.rs, when rules refer to lists
-- Parameters: presentity_uri text[] | limit int8 (documents of each)
-- Returns:    doc_uri text | doc bytea
-- Locks:      none
-- Plan:       xcap_lists_idx
-- Retry:      safe, reads only
-- RFC:        4826
--
-- Of a document that is too large to be read, so much is returned as shows that it is.
SELECT x.doc_uri, substring(x.doc FROM 1 FOR 65537) AS doc
FROM unnest(:presentity_uri::text[]) AS i (presentity_uri)
CROSS JOIN LATERAL (
    SELECT x.doc_uri, x.doc
    FROM xcap AS x
    WHERE x.presentity_uri = i.presentity_uri AND x.doc_type = 4
    ORDER BY x.id
    LIMIT :limit::bigint
) AS x
