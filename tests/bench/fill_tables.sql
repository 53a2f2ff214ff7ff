-- Large tables: publications and subscriptions of other people than those of the load, all of them notified and idle.
-- Variables: subscriptions, publications, contact (host:port where something answers), body.
--
-- Presentity n of `publications` has one publication; the subscriptions are spread over the first half of the
-- presentities. Triggers are off: nothing is owed to anybody, as after a quiet hour.
SET session_replication_role = replica;

INSERT INTO presentity
    (presentity_uri, username, domain, event, etag, expires, received_time, body, content_type, ruid, sweep_at)
SELECT 'sip:crowd' || n || '@large.example', 'crowd' || n, 'large.example', 'presence', 'large-e' || n, t.now + 3600 + n % 3600, t.now,
       convert_to(:'body', 'UTF8'), 'application/pidf+xml', 'large-r' || n, t.now + 3600 + n % 3600
FROM generate_series(1, :publications) AS n
CROSS JOIN (SELECT extract(epoch FROM now())::bigint AS now) AS t;

INSERT INTO active_watchers
    (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, event, to_tag, from_tag, callid,
     local_cseq, remote_cseq, contact, expires, status, version, socket_info, local_contact, from_user, from_domain,
     updated, user_agent, local_uri, remote_uri, granted_s, notified_version, sweep_at)
SELECT 'sip:crowd' || of || '@large.example', 'watcher' || n, 'large.example', 'crowd' || of, 'large.example', 'presence',
       'large-to-' || n, 'large-from-' || n, 'large-' || md5(n::text) || '@large.example',
       3, 2, 'sip:watcher' || n || '@' || :'contact', t.now + 3600 + n % 3600, 1, 3, 'udp:127.0.0.1:5060',
       'sip:' || :'contact', 'watcher' || n, 'large.example',
       -1, 'Desk Phone 7.1', '<sip:crowd' || of || '@large.example>', '<sip:watcher' || n || '@large.example>',
       3600, nextval('notify_version'), t.now + 3600 + n % 3600
FROM generate_series(1, :subscriptions) AS n
CROSS JOIN LATERAL (SELECT 1 + n % (:publications / 2) AS of) AS p
CROSS JOIN (SELECT extract(epoch FROM now())::bigint AS now) AS t;

RESET session_replication_role;
VACUUM (FREEZE, ANALYZE) presentity, active_watchers;
CHECKPOINT;
