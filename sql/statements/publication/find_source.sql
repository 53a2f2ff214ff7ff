-- publication.find_source
-- Purpose:    the live publication that a source has of a resource, as it was published
-- Called by:  lib/web/src/v1/publication.rs, once per GET with a source
-- Parameters: presentity_uri text | event text | source text | now timestamptz (tests only, else null)
-- Returns:    content_type text (empty: the package's own) | body bytea | etag text | expires_s int8 (from now; null = never)
-- Locks:      none
-- Plan:       presentity_resource_idx
-- Retry:      safe, reads only
-- RFC:        9110 section 9.3.1
SELECT
    p.content_type, p.body, p.etag,
    CASE WHEN p.expires <> -1 THEN GREATEST(1, floor(p.expires - extract(epoch FROM t.now))::bigint) END AS expires_s
FROM presentity AS p
CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
WHERE p.presentity_uri = :presentity_uri::text AND p.event = :event::text AND p.ruid = 'sql:' || :source::text
  AND NOT p.removed AND is_live(p.expires, t.now)
