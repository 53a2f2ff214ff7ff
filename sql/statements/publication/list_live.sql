-- publication.list_live
-- Purpose:    the live publications of resources, newest first, to be merged
-- Called by:  notifier/src/render.rs, after each take
-- Parameters: $1 presentity_uri text[] | $2 event text[] | $3 now timestamptz (tests only, else null)
-- Returns:    resource int8 (ordinal, from 1) | id int8 | content_type text | body bytea | etag text | sender text
-- Locks:      none
-- Plan:       presentity_resource_idx
-- Retry:      safe, reads only
-- RFC:        3903 section 6: the compositor's input
SELECT i.ord AS resource, p.id, p.content_type, p.body, p.etag, p.sender
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i (presentity_uri, event, ord)
JOIN presentity AS p ON p.presentity_uri = i.presentity_uri AND p.event = i.event
WHERE NOT p.removed AND is_live(p.expires, COALESCE($3::timestamptz, now()))
ORDER BY i.ord, p.received_time DESC, p.modified DESC, p.id DESC
