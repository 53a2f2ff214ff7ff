-- publication.create_batch
-- Purpose:    store initial publications; a request that finds its own row stores nothing
-- Called by:  server/src/publish.rs through write_batch.rs, once per batch
-- Parameters: username text[] | domain text[] | event text[] | entity_tag text[] | granted_s int8[] | content_type text[] | body bytea[] | sender text[] | has_dialog bool[] | ended text[] (each an int8[] literal, null if none) | now timestamptz (tests only, else null) | priority int8[] (null = none is given) | by_age bool (what is not given is the time)
-- Returns:    nothing; the row count is lower than that of the inputs if some have found their own row (see publication.renew_batch)
-- Locks:      new keys of presentity in one order (only statements like this one wait for each other there), then notify_queue by key (by trigger)
-- Plan:       no table is read
-- Retry:      safe, the entity-tag is derived from the request
-- RFC:        3903 section 6 steps 3-6
--
-- ON CONFLICT DO NOTHING also meets a row that this statement's snapshot cannot see, of a copy of the request that another
-- server is storing at this moment: it waits for that one to commit. The tombstone of a removed publication conflicts too, so
-- that a late copy of the first PUBLISH does not raise it from the dead.
-- The caller's names are canonical, and so is the URI that is put together here: a session that says so is believed (put_presentity_uri).
-- Where no priority is given, the parameter is null as a whole, which costs nothing.
INSERT INTO presentity (presentity_uri, username, domain, event, etag, ruid, expires, received_time, content_type, body, sender,
                        has_dialog, ended, ended_at, modified, priority, sweep_at, created_time)
SELECT
    CASE WHEN i.domain = ''   THEN 'tel:' || i.username
         WHEN i.username = '' THEN 'sip:' || i.domain
         ELSE 'sip:' || i.username || '@' || i.domain END,
    i.username,
    i.domain,
    i.event,
    i.entity_tag,
    i.entity_tag,
    expiry_at(i.granted_s, t.now),
    floor(extract(epoch FROM t.now))::bigint,
    i.content_type,
    i.body,
    i.sender,
    i.has_dialog,
    COALESCE((i.ended::bigint[])[1:128], '{}'),
    CASE WHEN i.ended IS NULL THEN '{}' ELSE
         array_fill((extract(epoch FROM t.now) * 1000000)::bigint, ARRAY[LEAST(128, cardinality(i.ended::bigint[]))]) END,
    t.now,
    -- 2015-01-01, as Kamailio counts.
    COALESCE(i.priority, CASE WHEN :by_age::boolean THEN floor(extract(epoch FROM t.now))::bigint - 1420070400 ELSE 0 END),
    expiry_at(i.granted_s, t.now),
    floor(extract(epoch FROM t.now))::bigint
FROM unnest(:username::text[], :domain::text[], :event::text[], :entity_tag::text[], :granted_s::bigint[], :content_type::text[],
            :body::bytea[], :sender::text[], :has_dialog::boolean[], :ended::text[], :priority::bigint[])
         AS i (username, domain, event, entity_tag, granted_s, content_type, body, sender, has_dialog, ended, priority)
CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
ORDER BY lower(i.domain) COLLATE "C", i.username COLLATE "C", i.event COLLATE "C", i.entity_tag COLLATE "C"
ON CONFLICT (presentity_uri, event, ruid) DO NOTHING
