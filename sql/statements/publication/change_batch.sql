-- publication.change_batch
-- Purpose:    refresh, modify and remove publications; compare-and-swap on the entity-tag
-- Called by:  server/src/publish.rs through write_batch.rs, once per batch
-- Parameters: $1 presentity_uri text[] | $2 event text[] | $3 if_match text[] | $4 entity_tag text[] | $5 kind text[] (refresh, modify, remove) | $6 granted_s int8[] | $7 content_type text[] (null unless modify) | $8 body bytea[] (null unless modify) | $9 now timestamptz (tests only, else null)
-- Returns:    one row per input, input order: stored bool
-- Locks:      presentity rows by (uri, event, id), then notify_queue by key (by trigger)
-- Plan:       presentity_resource_idx, presentity_pkey
-- Retry:      safe, a second run finds its own entity-tag
-- RFC:        3903 section 6 steps 2-6: a SIP-If-Match that matches no live publication is 412
--
-- A copy of the request on another server waits at the row's lock, and then sees the row as the first copy left it: its own
-- tag is the current one, or one of the last four if later changes came in between. That is success without a change.
-- A refresh touches no indexed column (HOT) and nothing that a watcher could see (the trigger queues nothing): received_time
-- and modified, which order the merge, move only with a new body.
-- Never two inputs with one if_match of one resource: the caller (rounds.rs) sees to that.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.presentity_uri, i.event, i.if_match, i.entity_tag, i.kind, i.granted_s, i.content_type, i.body, t.now
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bytea[])
             WITH ORDINALITY
             AS i (presentity_uri, event, if_match, entity_tag, kind, granted_s, content_type, body, ord)
    CROSS JOIN (SELECT COALESCE($9::timestamptz, now()) AS now) AS t
),
locked AS MATERIALIZED (
    SELECT
        i.ord,
        p.id,
        p.etag = i.if_match AND NOT p.removed AND is_live(p.expires, i.now) AS applies,
        p.etag = i.entity_tag OR i.entity_tag = ANY (p.past_etags) AS repeated
    FROM input AS i
    JOIN presentity AS p ON p.presentity_uri = i.presentity_uri AND p.event = i.event
    WHERE p.etag = i.if_match OR p.etag = i.entity_tag OR i.entity_tag = ANY (p.past_etags)
    ORDER BY p.presentity_uri, p.event, p.id
    FOR UPDATE OF p
),
changed AS (
    UPDATE presentity AS p
    SET etag          = i.entity_tag,
        past_etags    = (ARRAY[p.etag] || p.past_etags)[1:4],
        expires       = CASE WHEN i.kind = 'remove' THEN floor(extract(epoch FROM i.now))::bigint
                             ELSE expiry_at(i.granted_s, i.now) END,
        body          = COALESCE(i.body, p.body),
        content_type  = COALESCE(i.content_type, p.content_type),
        received_time = CASE WHEN i.body <> p.body OR i.content_type <> p.content_type
                             THEN floor(extract(epoch FROM i.now))::bigint ELSE p.received_time END,
        modified      = CASE WHEN i.body <> p.body OR i.content_type <> p.content_type
                             THEN i.now ELSE p.modified END,
        removed       = i.kind = 'remove',
        sweep_at      = CASE WHEN i.kind = 'remove' THEN expiry_at(32, i.now) ELSE p.sweep_at END
    FROM locked AS l
    JOIN input AS i ON i.ord = l.ord
    WHERE p.id = l.id AND l.applies AND NOT l.repeated
)
SELECT EXISTS (SELECT FROM locked AS l WHERE l.ord = i.ord AND (l.applies OR l.repeated)) AS stored
FROM input AS i
ORDER BY i.ord
