-- publication.put_feature
-- Purpose:    store what a phone sets by the body of a SUBSCRIBE: one publication for each feature of a line, replaced each time
-- Called by:  server/src/subscribe.rs through write_batch.rs, one at a time, before the SUBSCRIBE itself is stored
-- Parameters: username text (of the line; null in a dialog of which nobody is asked) | domain text | event text | callid text (null: a new dialog) | to_tag text | from_tag text | remote_cseq int8 | requester_username text (who has proven that he sends it in a dialog, null: nobody is asked) | requester_domain text | ruid text (names the feature) | entity_tag text (names the request) | content_type text | body bytea | lifetime_s int8 (null: until it is set again) | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count is 0 if there is no such dialog of the line itself or of the requester with the line, if the request is older than another in that dialog, or for a copy
-- Locks:      one presentity row, then one of notify_queue (by trigger); active_watchers is read without a lock
-- Plan:       active_watchers_dialog_idx, presentity_resource_idx
-- Retry:      safe, a copy finds its tag, for 64*T1 = 32 s: later the same request sets the feature anew
-- RFC:        none (device feature key synchronization); 3261 section 12.2.2 for the order of CSeq
--
-- Within a dialog the line is the one that the dialog was made for, whatever the request says: else anybody could set the features of
-- anybody. Only a watcher that is the line itself may; and a requester whose dialog it is, with the line that he may act for.
-- Inserting and updating are both in here, which a statement on several rows must not do (both triggers lock the queue): one row
-- locks one row of the queue.
WITH line AS MATERIALIZED (
    SELECT :username::text AS username, :domain::text AS domain
    WHERE :callid::text IS NULL
    UNION ALL
    SELECT COALESCE(:username::text, a.watcher_username), COALESCE(:domain::text, a.watcher_domain)
    FROM active_watchers AS a
    WHERE a.callid = :callid::text AND a.to_tag = :to_tag::text AND a.from_tag = :from_tag::text AND a.event = :event::text
      AND a.remote_cseq <= :remote_cseq::bigint
      AND a.status <> 3 AND is_live(a.expires, COALESCE(:now::timestamptz, now()))
      AND a.presentity_uri = presence_join_uri(COALESCE(:username::text, a.watcher_username), COALESCE(:domain::text, a.watcher_domain))
      AND (:requester_username::text IS NULL
           OR (a.watcher_username, a.watcher_domain) = (:requester_username::text, :requester_domain::text))
)
INSERT INTO presentity AS p (username, domain, event, etag, ruid, past_etags, expires, received_time, content_type, body, modified, sweep_at)
SELECT
    l.username, l.domain, :event::text, :entity_tag::text, :ruid::text,
    ARRAY[:entity_tag::text || '@' || floor(extract(epoch FROM t.now))::bigint],
    COALESCE(expiry_at(:lifetime_s::bigint, t.now), -1),
    floor(extract(epoch FROM t.now))::bigint,
    :content_type::text, :body::bytea, t.now,
    COALESCE(expiry_at(:lifetime_s::bigint, t.now), 9223372036854775807)
FROM line AS l
CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
ON CONFLICT (presentity_uri, event, ruid) DO UPDATE
SET etag          = EXCLUDED.etag,
    past_etags    = (EXCLUDED.past_etags || p.past_etags)[1:5],
    expires       = EXCLUDED.expires,
    content_type  = EXCLUDED.content_type,
    body          = EXCLUDED.body,
    received_time = CASE WHEN p.body <> EXCLUDED.body OR p.removed THEN EXCLUDED.received_time ELSE p.received_time END,
    modified      = CASE WHEN p.body <> EXCLUDED.body OR p.removed THEN EXCLUDED.modified ELSE p.modified END,
    removed       = false,
    sweep_at      = EXCLUDED.sweep_at
-- received_time of the row that is not stored is now.
WHERE NOT EXISTS (SELECT
                  FROM unnest(p.past_etags) AS past (tag)
                  WHERE split_part(past.tag, '@', 1) = EXCLUDED.etag
                    AND NULLIF(split_part(past.tag, '@', 2), '')::bigint >= EXCLUDED.received_time - 32)
