-- publication.change_source
-- Purpose:    replace or end the publication that a source has of a resource, if HTTP's conditions on it hold; compare-and-swap
-- Called by:  lib/web/src/v1/publication.rs, once per PUT and DELETE
-- Parameters: presentity_uri text | event text | source text | entity_tag text (names the request) | if_match text[] (null: no condition; empty: any) | if_none_match text[] (the same) | granted_s int8 (null: the publication ends) | content_type text | body bytea | has_dialog bool | ended int8[] | now timestamptz (tests only, else null)
-- Returns:    outcome text (created: there was only its tombstone; changed; removed; repeated: it was done before; absent: nothing to end; refused: a condition does not hold); no row if the source has none, not even a tombstone
-- Locks:      one presentity row, then one of notify_queue (by trigger)
-- Plan:       presentity_resource_idx, presentity_pkey
-- Retry:      safe, a second run finds its own entity-tag
-- RFC:        9110 section 13.1.1, 13.1.2: If-Match and If-None-Match; 3903 section 6 for what is stored
--
-- The row is judged as it is under its lock, so of two writers with one tag one is refused. A publication that has ended is not there:
-- its tombstone matches nothing, and is raised by a PUT. What the row remembers of ended dialogs stays.
-- A source is the same whether it speaks SQL (presence_publish) or HTTP.
WITH locked AS MATERIALIZED (
    SELECT
        p.id, t.now,
        NOT p.removed AND is_live(p.expires, t.now) AS live,
        p.etag = :entity_tag::text OR :entity_tag::text = ANY (p.past_etags) AS repeated,
        p.etag
    FROM presentity AS p
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
    WHERE p.presentity_uri = :presentity_uri::text AND p.event = :event::text AND p.ruid = 'sql:' || :source::text
    FOR UPDATE OF p
),
judged AS MATERIALIZED (
    SELECT
        l.id, l.now,
        CASE WHEN l.repeated THEN 'repeated'
             WHEN :if_match::text[] IS NOT NULL
                  AND NOT (l.live AND (cardinality(:if_match::text[]) = 0 OR l.etag = ANY (:if_match::text[]))) THEN 'refused'
             WHEN :if_none_match::text[] IS NOT NULL
                  AND l.live AND (cardinality(:if_none_match::text[]) = 0 OR l.etag = ANY (:if_none_match::text[])) THEN 'refused'
             WHEN :granted_s::bigint IS NULL AND NOT l.live THEN 'absent'
             WHEN :granted_s::bigint IS NULL THEN 'removed'
             WHEN l.live THEN 'changed'
             ELSE 'created' END AS outcome
    FROM locked AS l
),
changed AS (
    UPDATE presentity AS p
    SET etag          = :entity_tag::text,
        past_etags    = (ARRAY[p.etag] || p.past_etags)[1:4],
        expires       = CASE WHEN j.outcome = 'removed' THEN floor(extract(epoch FROM j.now))::bigint
                             ELSE expiry_at(:granted_s::bigint, j.now) END,
        body          = COALESCE(:body::bytea, p.body),
        content_type  = COALESCE(:content_type::text, p.content_type),
        sender        = '',
        has_dialog    = COALESCE(:has_dialog::boolean, p.has_dialog),
        ended         = CASE WHEN COALESCE(cardinality(:ended::bigint[]), 0) = 0 THEN p.ended ELSE
                             ARRAY(SELECT e.key
                                   FROM unnest(:ended::bigint[] || p.ended) WITH ORDINALITY AS e (key, ord)
                                   GROUP BY e.key ORDER BY min(e.ord) LIMIT 128) END,
        ended_at      = CASE WHEN COALESCE(cardinality(:ended::bigint[]), 0) = 0 THEN p.ended_at ELSE
                             ARRAY(SELECT max(e.at)
                                   FROM unnest(:ended::bigint[] || p.ended,
                                               array_fill((extract(epoch FROM j.now) * 1000000)::bigint,
                                                          ARRAY[cardinality(:ended::bigint[])]) || p.ended_at)
                                            WITH ORDINALITY AS e (key, at, ord)
                                   GROUP BY e.key ORDER BY min(e.ord) LIMIT 128) END,
        received_time = CASE WHEN j.outcome = 'created' OR :body::bytea <> p.body OR :content_type::text <> p.content_type
                             THEN floor(extract(epoch FROM j.now))::bigint ELSE p.received_time END,
        modified      = CASE WHEN j.outcome = 'created' OR :body::bytea <> p.body OR :content_type::text <> p.content_type
                             THEN j.now ELSE p.modified END,
        removed       = j.outcome = 'removed',
        sweep_at      = CASE WHEN j.outcome = 'removed' THEN expiry_at(32, j.now)
                             WHEN j.outcome = 'created' THEN expiry_at(:granted_s::bigint, j.now)
                             ELSE p.sweep_at END
    FROM judged AS j
    WHERE p.id = j.id AND j.outcome IN ('created', 'changed', 'removed')
)
SELECT j.outcome
FROM judged AS j
