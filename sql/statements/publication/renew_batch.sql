-- publication.renew_batch
-- Purpose:    answer initial publications that found their own row: a copy by what is stored, a request that comes again later anew
-- Called by:  sql/src/publication/request.rs, after a publication.create_batch that did not store all
-- Parameters: username text[] | domain text[] | event text[] | entity_tag text[] | granted_s int8[] | content_type text[] | body bytea[] | sender text[] | has_dialog bool[] | ended text[] (each an int8[] literal, null if none) | now timestamptz (tests only, else null) | priority int8[] (null = none is given) | by_age bool (what is not given is the time)
-- Returns:    ord int8 (from 1, of inputs that have a row) | entity_tag text
-- Locks:      presentity rows by (uri, event, id), then notify_queue by key (by trigger)
-- Plan:       presentity_resource_idx, presentity_pkey
-- Retry:      safe, a second run finds the row as the first has left it
-- RFC:        3903 section 6; 3261 section 17.1.2.2: after 64*T1 nothing is retransmitted any more
--
-- The row is judged under its lock, so of two copies of a request that comes again one renews the row and the other finds it renewed. A
-- renewed row is what the same device publishes now: its old state does not stay beside the new one. The tag is one that was never
-- given before (ruid, a dot, the second), so that a change of the time before does not meet it.
-- The tombstone of a removed publication is raised as well, but not by a late copy of what it was made by.
WITH input AS MATERIALIZED (
    SELECT
        i.ord,
        CASE WHEN i.domain = ''   THEN 'tel:' || i.username
             WHEN i.username = '' THEN 'sip:' || i.domain
             ELSE 'sip:' || i.username || '@' || i.domain END AS presentity_uri,
        i.event, i.entity_tag, i.granted_s, i.content_type, i.body, i.sender, i.has_dialog, i.ended::bigint[] AS ended, i.priority,
        t.now,
        floor(extract(epoch FROM t.now))::bigint AS now_s
    FROM unnest(:username::text[], :domain::text[], :event::text[], :entity_tag::text[], :granted_s::bigint[],
                :content_type::text[], :body::bytea[], :sender::text[], :has_dialog::boolean[], :ended::text[],
                :priority::bigint[])
             WITH ORDINALITY
             AS i (username, domain, event, entity_tag, granted_s, content_type, body, sender, has_dialog, ended, priority, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
),
locked AS MATERIALIZED (
    SELECT
        i.ord, i.entity_tag, i.granted_s, i.content_type, i.body, i.sender, i.has_dialog, i.ended, i.priority, i.now, i.now_s,
        p.id, p.renewed_at,
        GREATEST(p.created_time, p.renewed_at) < i.now_s - 32 AS comes_again
    FROM input AS i
    JOIN presentity AS p ON p.presentity_uri = i.presentity_uri AND p.event = i.event AND p.ruid = i.entity_tag
    ORDER BY p.presentity_uri, p.event, p.id
    FOR UPDATE OF p
),
renewed AS (
    UPDATE presentity AS p
    SET etag          = l.entity_tag || '.' || l.now_s,
        renewed_at    = l.now_s,
        past_etags    = (ARRAY[l.entity_tag || '.' || l.now_s || '@' || l.now_s] || p.past_etags)[1:5],
        expires       = expiry_at(l.granted_s, l.now),
        received_time = l.now_s,
        modified      = l.now,
        content_type  = l.content_type,
        body          = l.body,
        sender        = l.sender,
        has_dialog    = l.has_dialog,
        ended         = CASE WHEN l.ended IS NULL THEN p.ended ELSE
                             ARRAY(SELECT e.key
                                   FROM unnest(l.ended || p.ended) WITH ORDINALITY AS e (key, ord)
                                   GROUP BY e.key ORDER BY min(e.ord) LIMIT 128) END,
        ended_at      = CASE WHEN l.ended IS NULL THEN p.ended_at ELSE
                             ARRAY(SELECT max(e.at)
                                   FROM unnest(l.ended || p.ended,
                                               array_fill((extract(epoch FROM l.now) * 1000000)::bigint,
                                                          ARRAY[cardinality(l.ended)]) || p.ended_at)
                                            WITH ORDINALITY AS e (key, at, ord)
                                   GROUP BY e.key ORDER BY min(e.ord) LIMIT 128) END,
        -- 2015-01-01, as Kamailio counts.
        priority      = COALESCE(l.priority, CASE WHEN :by_age::boolean THEN l.now_s - 1420070400 ELSE 0 END),
        removed       = false,
        sweep_at      = expiry_at(l.granted_s, l.now)
    FROM locked AS l
    WHERE p.id = l.id AND l.comes_again
)
SELECT
    l.ord,
    CASE WHEN l.comes_again    THEN l.entity_tag || '.' || l.now_s
         WHEN l.renewed_at > 0 THEN l.entity_tag || '.' || l.renewed_at
         ELSE l.entity_tag END AS entity_tag
FROM locked AS l
