-- publication.create_source
-- Purpose:    store the first publication that a source has of a resource
-- Called by:  lib/web/src/v1/publication.rs, after publication.change_source has found no row
-- Parameters: $1 username text | $2 domain text | $3 event text | $4 source text | $5 entity_tag text (names the request) | $6 granted_s int8 | $7 content_type text | $8 body bytea | $9 has_dialog bool | $10 ended int8[] | $11 now timestamptz (tests only, else null)
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
    $1::text, $2::text, $3::text, $5::text, 'sql:' || $4::text,
    expiry_at($6::bigint, t.now),
    floor(extract(epoch FROM t.now))::bigint,
    $7::text, $8::bytea, $9::boolean,
    ($10::bigint[])[1:128],
    array_fill((extract(epoch FROM t.now) * 1000000)::bigint, ARRAY[LEAST(128, cardinality($10::bigint[]))]),
    t.now,
    expiry_at($6::bigint, t.now)
FROM (SELECT COALESCE($11::timestamptz, now()) AS now) AS t
ON CONFLICT (presentity_uri, event, ruid) DO NOTHING
