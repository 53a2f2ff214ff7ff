-- publication.change_batch
-- Purpose:    refresh, modify and remove publications; compare-and-swap on the entity-tag
-- Called by:  server/src/publish.rs through write_batch.rs, once per batch
-- Parameters: presentity_uri text[] | event text[] | if_match text[] | entity_tag text[] | kind text[] (refresh, modify, remove) | granted_s int8[] | content_type text[] (null unless modify) | body bytea[] (null unless modify) | sender text[] (null = unknown; a refresh keeps the old one) | keeps_tag bool[] | has_dialog bool[] | ended text[] (each an int8[] literal, null if none) | now timestamptz (tests only, else null) | priority int8[] (null = none is given) | by_age bool (what is not given is the time of the body)
-- Returns:    ord int8 (from 1: an input that is stored; any other matches no live publication)
-- Locks:      presentity rows by (uri, event, id), then notify_queue by key (by trigger)
-- Plan:       presentity_resource_idx, presentity_pkey
-- Retry:      safe, a second run finds its own entity-tag
-- RFC:        3903 section 6 steps 2-6: a SIP-If-Match that matches no live publication is 412
--
-- A copy of the request on another server waits at the row's lock, and then sees the row as the first copy left it: its own
-- tag is among those of the last five requests, with the second at which it came. That is success without a change, for 64*T1 = 32 s. The
-- same request later is another one: 412, because the tag that it names is not the current one.
-- Where the package keeps the entity-tag (dialog;sla), the tag that names the request is remembered all the same, so that its copy
-- is known there too. It does not undo what another phone has published meanwhile. The same request later is another change.
-- A body without a dialog does not replace another sender's body that has one (has_dialog): success without a change, also of
-- expires, so that an idle phone does not keep the call of one that is gone.
-- ended: what the new body calls terminated is remembered from now on, newest first, 128 keys at most. A key that comes again
-- counts from now. A body that ends nothing costs nothing more, as most do.
-- A refresh touches no indexed column (HOT) and nothing that a watcher could see (the trigger queues nothing): received_time
-- and modified, which order the merge, move only with a new body.
-- sender: who made this change, so that he alone is not notified of it. Where the sender is not known, everybody is notified.
-- What is locked carries all that is written: joined to the input once more, without an index, 64 inputs took 0.9 ms longer.
-- Never two inputs with one if_match of one resource: the caller (rounds.rs) sees to that.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.presentity_uri, i.event, i.if_match, i.entity_tag, i.kind, i.granted_s, i.content_type, i.body, i.sender,
           i.keeps_tag, i.has_dialog, i.ended::bigint[] AS ended, i.priority,
           t.now, floor(extract(epoch FROM t.now))::bigint AS now_s
    FROM unnest(:presentity_uri::text[], :event::text[], :if_match::text[], :entity_tag::text[], :kind::text[],
                :granted_s::bigint[], :content_type::text[], :body::bytea[], :sender::text[], :keeps_tag::boolean[],
                :has_dialog::boolean[], :ended::text[], :priority::bigint[])
             WITH ORDINALITY
             AS i (presentity_uri, event, if_match, entity_tag, kind, granted_s, content_type, body, sender, keeps_tag,
                   has_dialog, ended, priority, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
),
locked AS MATERIALIZED (
    SELECT
        i.ord, i.entity_tag, i.kind, i.granted_s, i.content_type, i.body, i.sender, i.keeps_tag, i.has_dialog, i.ended, i.priority,
        i.now, i.now_s,
        p.id,
        p.etag = i.if_match AND NOT p.removed AND is_live(p.expires, i.now) AS applies,
        CASE WHEN p.etag = i.if_match AND NOT i.keeps_tag THEN false
             ELSE EXISTS (SELECT
                          FROM unnest(p.past_etags) AS past (tag)
                          WHERE split_part(past.tag, '@', 1) = i.entity_tag
                            AND NULLIF(split_part(past.tag, '@', 2), '')::bigint >= i.now_s - 32) END AS repeated,
        p.has_dialog AND i.kind = 'modify' AND NOT i.has_dialog AND p.sender <> COALESCE(i.sender, p.sender) AS outranked
    FROM input AS i
    JOIN presentity AS p ON p.presentity_uri = i.presentity_uri AND p.event = i.event
    WHERE p.etag = i.if_match OR strpos(array_to_string(p.past_etags, ' '), i.entity_tag || '@') > 0
    ORDER BY p.presentity_uri, p.event, p.id
    FOR UPDATE OF p
),
changed AS (
    UPDATE presentity AS p
    SET etag          = CASE WHEN l.keeps_tag THEN p.etag ELSE l.entity_tag END,
        past_etags    = (ARRAY[l.entity_tag || '@' || l.now_s] || p.past_etags)[1:5],
        expires       = CASE WHEN l.kind = 'remove' THEN floor(extract(epoch FROM l.now))::bigint
                             ELSE expiry_at(l.granted_s, l.now) END,
        body          = COALESCE(l.body, p.body),
        content_type  = COALESCE(l.content_type, p.content_type),
        sender        = CASE WHEN l.kind = 'refresh' THEN p.sender ELSE COALESCE(l.sender, '') END,
        has_dialog    = CASE WHEN l.kind = 'modify' THEN l.has_dialog ELSE p.has_dialog END,
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
        received_time = CASE WHEN l.body <> p.body OR l.content_type <> p.content_type
                             THEN floor(extract(epoch FROM l.now))::bigint ELSE p.received_time END,
        modified      = CASE WHEN l.body <> p.body OR l.content_type <> p.content_type
                             THEN l.now ELSE p.modified END,
        priority      = CASE WHEN l.priority IS NOT NULL THEN l.priority
                             -- 2015-01-01, as Kamailio counts. A refresh makes no newer document.
                             WHEN :by_age::boolean AND l.kind = 'modify' THEN floor(extract(epoch FROM l.now))::bigint - 1420070400
                             ELSE p.priority END,
        removed       = l.kind = 'remove',
        sweep_at      = CASE WHEN l.kind = 'remove' THEN expiry_at(32, l.now) ELSE p.sweep_at END
    FROM locked AS l
    WHERE p.id = l.id AND l.applies AND NOT l.repeated AND NOT l.outranked
)
SELECT DISTINCT l.ord
FROM locked AS l
WHERE l.applies OR l.repeated
