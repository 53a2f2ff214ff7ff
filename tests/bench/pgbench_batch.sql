-- Each of the four clients has 256 of the 1,024 publications for itself, so that none waits for another's rows.
\set first :client_id * 256 + random(0, 3) * 64
\set tag random(1, 1000000000)
WITH input AS MATERIALIZED (
    SELECT :first::int + i.ord - 1 AS n, i.body
    FROM unnest(:bodies::text[]) WITH ORDINALITY AS i (body, ord)
),
stored AS (
    INSERT INTO publication AS p
        (presentity_uri, event, ruid, etag, expires, received_time, body, content_type, modified, sweep_at)
    SELECT 'sip-user-' || i.n || '@example.org', 'presence', 'r' || i.n, 'tag-' || :tag::int || i.n,
           4000000000, extract(epoch FROM now())::bigint, convert_to(i.body, 'UTF8'),
           'application/pidf+xml', now(), 4000000000
    FROM input AS i
    ON CONFLICT (presentity_uri, event, ruid) DO UPDATE
    SET etag          = EXCLUDED.etag,
        past_etags    = (ARRAY[p.etag] || p.past_etags)[1: 4],
        expires       = EXCLUDED.expires,
        received_time = EXCLUDED.received_time,
        body          = EXCLUDED.body,
        modified      = EXCLUDED.modified
)
INSERT INTO queue AS q (presentity_uri, event, version, due, owed_since)
SELECT 'sip-user-' || i.n || '@example.org', 'presence', nextval('change_number'), now(), now()
FROM input AS i
ON CONFLICT (presentity_uri, event) DO UPDATE
SET version    = nextval('change_number'),
    due        = LEAST(q.due, EXCLUDED.due),
    owed_since = COALESCE(q.owed_since, EXCLUDED.owed_since);
