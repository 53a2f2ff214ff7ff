-- subscription.create_imported
-- Purpose:    store dialogs of Kamailio, each with the CSeq of its last NOTIFY; only those that are owed one are queued
-- Called by:  cli/src/import.rs, batch after batch
-- Parameters: $1 presentity_uri text[] | $2 event text[] | $3 event_id text[] | $4 watcher_username text[] | $5 watcher_domain text[] | $6 to_user text[] | $7 to_domain text[] | $8 from_user text[] | $9 from_domain text[] | $10 local_uri text[] | $11 remote_uri text[] | $12 to_tag text[] | $13 from_tag text[] | $14 callid text[] | $15 local_cseq int8[] | $16 remote_cseq int8[] | $17 version int8[] | $18 contact text[] | $19 record_route text[] | $20 expires int8[] | $21 granted_s int8[] | $22 status int2[] | $23 reason text[] | $24 local_contact text[] | $25 socket_info text[] | $26 flags int8[] | $27 user_agent text[] | $28 owed bool[] (a NOTIFY is to be sent)
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
    i.user_agent, CASE WHEN i.owed THEN 0 ELSE -1 END, 0
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[],
            $18::text[], $19::text[], $20::bigint[], $21::bigint[], $22::smallint[], $23::text[], $24::text[], $25::text[],
            $26::bigint[], $27::text[], $28::boolean[])
         AS i (presentity_uri, event, event_id, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain,
               local_uri, remote_uri, to_tag, from_tag, callid, local_cseq, remote_cseq, version, contact, record_route,
               expires, granted_s, status, reason, local_contact, socket_info, flags, user_agent, owed)
ORDER BY i.callid COLLATE "C", i.to_tag COLLATE "C", i.from_tag COLLATE "C"
ON CONFLICT (callid, to_tag, from_tag) DO NOTHING
