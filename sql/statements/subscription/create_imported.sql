-- subscription.create_imported
-- Purpose:    store dialogs of Kamailio, each with the CSeq of its last NOTIFY; only those with a NOTIFY due are queued
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: presentity_uri text[] | event text[] | event_id text[] | watcher_username text[] | watcher_domain text[] | to_user text[] | to_domain text[] | from_user text[] | from_domain text[] | local_uri text[] | remote_uri text[] | to_tag text[] | from_tag text[] | callid text[] | local_cseq int8[] | remote_cseq int8[] | version int8[] | contact text[] | record_route text[] | expires int8[] | granted_s int8[] | status int2[] | reason text[] | local_contact text[] | socket_info text[] | flags int8[] | user_agent text[] | due bool[] (a NOTIFY is to be sent)
-- Returns:    nothing; the row count says how many are new
-- Locks:      new keys of active_watchers by (callid, to_tag, from_tag), then notify_queue by key (by trigger)
-- Plan:       no table is read
-- Retry:      safe, the second run finds the rows of the first
-- RFC:        3261 section 12.1.1: the state of a dialog
INSERT INTO active_watchers (
    presentity_uri, event, event_id, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain, local_uri,
    remote_uri, to_tag, from_tag, callid, local_cseq, remote_cseq, version, contact, record_route, expires, granted_s, status,
    reason, local_contact, socket_info, flags, user_agent, updated, created_time)
SELECT
    i.presentity_uri, i.event, i.event_id, i.watcher_username, i.watcher_domain, i.to_user, i.to_domain, i.from_user,
    i.from_domain, i.local_uri, i.remote_uri, i.to_tag, i.from_tag, i.callid, i.local_cseq, i.remote_cseq, i.version,
    i.contact, i.record_route, i.expires, i.granted_s, i.status, i.reason, i.local_contact, i.socket_info, i.flags,
    i.user_agent, CASE WHEN i.due THEN 0 ELSE -1 END, 0
FROM unnest(:presentity_uri::text[], :event::text[], :event_id::text[], :watcher_username::text[], :watcher_domain::text[],
            :to_user::text[], :to_domain::text[], :from_user::text[], :from_domain::text[], :local_uri::text[],
            :remote_uri::text[], :to_tag::text[], :from_tag::text[], :callid::text[], :local_cseq::bigint[],
            :remote_cseq::bigint[], :version::bigint[], :contact::text[], :record_route::text[], :expires::bigint[],
            :granted_s::bigint[], :status::smallint[], :reason::text[], :local_contact::text[], :socket_info::text[],
            :flags::bigint[], :user_agent::text[], :due::boolean[])
         AS i (presentity_uri, event, event_id, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain,
               local_uri, remote_uri, to_tag, from_tag, callid, local_cseq, remote_cseq, version, contact, record_route,
               expires, granted_s, status, reason, local_contact, socket_info, flags, user_agent, due)
ORDER BY i.callid COLLATE "C", i.to_tag COLLATE "C", i.from_tag COLLATE "C"
ON CONFLICT (callid, to_tag, from_tag) DO NOTHING
