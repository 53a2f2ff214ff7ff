-- script.list_grounds
-- Purpose:    what must be known to judge at once whether somebody may watch a presentity
-- Called by:  sql/src/judge.rs: pres_auth_status in servers and notifiers
-- Parameters: presentity_uri text | watcher_username text | watcher_domain text | now timestamptz (tests only, else null)
-- Returns:    now_us int8 (epoch microsecond) | doc bytea (null in the only row of a presentity without) | stored_status int2 (null: nothing is stored of the watcher) | stored_reason text | stored_is_current bool (written since the rules changed last, or by hand)
-- Locks:      none
-- Plan:       xcap_rules_idx, watchers_watcher_idx, notify_queue_pkey
-- Retry:      safe, reads only
-- RFC:        5025 section 9.7 (all documents are used)
--
-- Documents and decision come from one snapshot. Of a document that is too large to be read, so much is returned as shows that it is.
SELECT
    (extract(epoch FROM COALESCE(:now::timestamptz, now())) * 1000000)::bigint AS now_us,
    substring(x.doc FROM 1 FOR 65537) AS doc,
    w.status AS stored_status,
    w.reason AS stored_reason,
    w.rules_version IS NULL OR w.rules_version >= COALESCE(q.rules_version, 0) AS stored_is_current
FROM (SELECT 1) AS one
LEFT JOIN notify_queue AS q ON q.presentity_uri = :presentity_uri::text AND q.event = 'presence'
LEFT JOIN watchers AS w ON w.presentity_uri = :presentity_uri::text AND w.watcher_username = :watcher_username::text
    AND w.watcher_domain = :watcher_domain::text AND w.event = 'presence'
LEFT JOIN LATERAL (
    SELECT x.id, x.doc
    FROM xcap AS x
    WHERE x.presentity_uri = :presentity_uri::text AND x.doc_type = 2
    -- A fence: one look-up by key, also in a session that planned while the table was empty.
    OFFSET 0
) AS x ON true
ORDER BY x.id
