-- publication.create_source
-- Purpose:    store the first publication that a source has of a resource
-- Called by:  lib/web/src/v1/publication.rs, after publication.change_source has found no row
-- Parameters: username text | domain text | event text | source text | entity_tag text (names the request) | granted_s int8 | content_type text | body bytea | has_dialog bool | ended int8[] | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count is 0 if there is one meanwhile
-- Locks:      one new key of presentity, then one of notify_queue (by trigger)
-- Plan:       no table is read
-- Retry:      safe, publication.change_source then finds its own entity-tag
-- RFC:        9110 section 9.3.4; 3903 section 6 for what is stored
--
-- The ruid is that of presence_publish: a source is the same whether it speaks SQL or HTTP.
INSERT INTO presentity (username, domain, event, etag, ruid, expires, received_time, content_type, body, has_dialog, ended, ended_at,
                        modified, sweep_at)
SELECT
    :username::text, :domain::text, :event::text, :entity_tag::text, 'sql:' || :source::text,
    expiry_at(:granted_s::bigint, t.now),
    floor(extract(epoch FROM t.now))::bigint,
    :content_type::text, :body::bytea, :has_dialog::boolean,
    (:ended::bigint[])[1:128],
    array_fill((extract(epoch FROM t.now) * 1000000)::bigint, ARRAY[LEAST(128, cardinality(:ended::bigint[]))]),
    t.now,
    expiry_at(:granted_s::bigint, t.now)
FROM (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
ON CONFLICT (presentity_uri, event, ruid) DO NOTHING
