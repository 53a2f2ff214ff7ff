-- Publications that live for 60 s and are refreshed in time, by live_a_second.sql; nobody watches. Variables: publications, body.
--
-- Triggers are off: nothing is owed to anybody, as after a quiet hour.
SET session_replication_role = replica;

INSERT INTO presentity
    (presentity_uri, username, domain, event, etag, expires, received_time, body, content_type, ruid, sweep_at)
SELECT 'sip:short' || n || '@short.example', 'short' || n, 'short.example', 'presence', 'short-e' || n, t.now + 10 + n % 60, t.now,
       convert_to(:'body', 'UTF8'), 'application/pidf+xml', 'short-r' || n, t.now + 10 + n % 60
FROM generate_series(1, :publications) AS n
CROSS JOIN (SELECT extract(epoch FROM now())::bigint AS now) AS t;

RESET session_replication_role;
VACUUM (FREEZE, ANALYZE) presentity;
CHECKPOINT;
