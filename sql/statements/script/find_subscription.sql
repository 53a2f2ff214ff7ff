-- script.find_subscription
-- Purpose:    what a script may want to know of a subscription, by its dialog
-- Called by:  server/src/script/worker.rs, notifier/src/script.rs: an attribute of subs that is not known there
-- Parameters: callid text | to_tag text | from_tag text | now timestamptz (tests only, else null)
-- Returns:    presentity_uri text | to_user text | to_domain text | from_user text | from_domain text | watcher_username text | watcher_domain text | event text | event_id text | remote_cseq int8 | local_cseq int8 | contact text | local_contact text | record_route text | expires_s int8 (-1 = never ends) | status int2 | reason text | version int8 | flags int8 | user_agent text
-- Locks:      none
-- Plan:       active_watchers_dialog_idx
-- Retry:      safe, reads only
-- RFC:        none
--
-- One that has ended is still there for 32 s: a script asks within that time.
SELECT
    a.presentity_uri, a.to_user, a.to_domain, a.from_user, a.from_domain, a.watcher_username, a.watcher_domain, a.event, a.event_id,
    a.remote_cseq, a.local_cseq, a.contact, a.local_contact, a.record_route,
    CASE WHEN a.status = 3 THEN 0
         WHEN a.expires = -1 THEN -1
         ELSE GREATEST(0, floor(a.expires - extract(epoch FROM COALESCE(:now::timestamptz, now())))::bigint) END AS expires_s,
    a.status, a.reason, a.version, a.flags, a.user_agent
FROM active_watchers AS a
WHERE a.callid = :callid::text AND a.to_tag = :to_tag::text AND a.from_tag = :from_tag::text
