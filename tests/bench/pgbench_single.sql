-- No string here holds a colon, and the slice has a space: pgbench would take what follows for a variable.
\set n random(0, 1023)
\set tag random(1, 1000000000)
WITH stored AS (
    INSERT INTO publication AS p
        (presentity_uri, event, ruid, etag, expires, received_time, body, content_type, modified, sweep_at)
    VALUES
        ('sip-user-' || :n::int || '@example.org', 'presence', 'r' || :n::int, 'tag-' || :tag::int,
         4000000000, extract(epoch FROM now())::bigint, convert_to(:body::text, 'UTF8'),
         'application/pidf+xml', now(), 4000000000)
    ON CONFLICT (presentity_uri, event, ruid) DO UPDATE
    SET etag          = EXCLUDED.etag,
        past_etags    = (ARRAY[p.etag] || p.past_etags)[1: 4],
        expires       = EXCLUDED.expires,
        received_time = EXCLUDED.received_time,
        body          = EXCLUDED.body,
        modified      = EXCLUDED.modified
)
INSERT INTO queue AS q (presentity_uri, event, version, due, owed_since)
VALUES ('sip-user-' || :n::int || '@example.org', 'presence', nextval('change_number'), now(), now())
ON CONFLICT (presentity_uri, event) DO UPDATE
SET version    = nextval('change_number'),
    due        = LEAST(q.due, EXCLUDED.due),
    owed_since = COALESCE(q.owed_since, EXCLUDED.owed_since);
