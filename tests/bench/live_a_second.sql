-- One second of many short lives: what expires within 5 s is refreshed, and so many publications have been removed, to be forgotten in 2 s
-- (in place of 32). Returns by how many seconds the sweep is late at most, how many publications have been ended that must not, how many
-- rows there are, and the size of their table in bytes. Variables: removals, publications.
SET session_replication_role = replica;
-- A refresh leaves sweep_at alone: the sweep finds out.
UPDATE presentity AS p
SET expires = t.now + 60
FROM (SELECT extract(epoch FROM now())::bigint AS now) AS t
WHERE p.domain = 'short.example' AND NOT p.removed AND p.expires <= t.now + 5;
INSERT INTO presentity
    (presentity_uri, username, domain, event, etag, expires, received_time, body, content_type, removed, sweep_at)
SELECT 'sip:gone' || n || '@gone.example', 'gone' || n, 'gone.example', 'presence', 'gone', t.now, t.now, '', 'application/pidf+xml', true,
       t.now + 2
FROM generate_series(1, :removals) AS n
CROSS JOIN (SELECT extract(epoch FROM now())::bigint AS now) AS t;
RESET session_replication_role;
SELECT COALESCE(max(t.now - p.sweep_at) FILTER (WHERE p.sweep_at < t.now), 0),
       :publications - count(*) FILTER (WHERE p.domain = 'short.example' AND NOT p.removed),
       count(*),
       pg_table_size('presentity')
FROM presentity AS p
CROSS JOIN (SELECT extract(epoch FROM now())::bigint AS now) AS t;
