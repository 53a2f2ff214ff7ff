-- subscription.change_imported
-- Purpose:    bring dialogs that were imported before up to what Kamailio has now, and say how each stands
-- Called by:  cli/src/import.rs, batch after batch, before subscription.create_imported
-- Parameters: callid text[] | to_tag text[] | from_tag text[] | local_cseq int8[] | remote_cseq int8[] | version int8[] | contact text[] | record_route text[] | expires int8[] | status int2[] | reason text[] | local_contact text[] | socket_info text[] | due bool[] (a NOTIFY is to be sent) | dry bool (change nothing)
-- Returns:    ord int8 (from 1, of inputs that are here already) | verdict text (changed, same, newer)
-- Locks:      active_watchers rows by (uri, event, id), then notify_queue by key (by trigger)
-- Plan:       active_watchers_dialog_idx, active_watchers_pkey
-- Retry:      safe
-- RFC:        3261 section 12.2.1.1: the CSeq of a dialog never goes back
--
-- A row that has ended here, whose subscriber has spoken to us since, or in which we have sent a NOTIFY since, is newer,
-- whatever Kamailio says.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.callid, i.to_tag, i.from_tag, i.local_cseq, i.remote_cseq, i.version, i.contact, i.record_route, i.expires,
           i.status, i.reason, i.local_contact, i.socket_info, i.due
    FROM unnest(:callid::text[], :to_tag::text[], :from_tag::text[], :local_cseq::bigint[], :remote_cseq::bigint[],
                :version::bigint[], :contact::text[], :record_route::text[], :expires::bigint[], :status::smallint[],
                :reason::text[], :local_contact::text[], :socket_info::text[], :due::boolean[])
             WITH ORDINALITY
             AS i (callid, to_tag, from_tag, local_cseq, remote_cseq, version, contact, record_route, expires, status, reason,
                   local_contact, socket_info, due, ord)
),
locked AS MATERIALIZED (
    SELECT
        i.ord, i.local_cseq, i.remote_cseq, i.version, i.contact, i.record_route, i.expires, i.status, i.reason,
        i.local_contact, i.socket_info, i.due,
        a.id,
        CASE WHEN a.status = 3 OR a.remote_cseq > i.remote_cseq OR a.local_cseq > i.local_cseq THEN 'newer'
             WHEN a.remote_cseq = i.remote_cseq AND a.local_cseq = i.local_cseq AND a.version = i.version
                  AND a.contact = i.contact AND a.record_route = i.record_route AND a.expires = i.expires
                  AND a.status = i.status AND a.reason = i.reason AND a.local_contact = i.local_contact
                  AND (a.updated <> -1 OR NOT i.due) THEN 'same'
             ELSE 'changed' END AS verdict
    FROM input AS i
    JOIN active_watchers AS a ON a.callid = i.callid AND a.to_tag = i.to_tag AND a.from_tag = i.from_tag
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a
),
changed AS (
    UPDATE active_watchers AS a
    SET local_cseq     = l.local_cseq,
        remote_cseq    = l.remote_cseq,
        version        = l.version,
        contact        = l.contact,
        target_version = a.target_version + CASE WHEN l.contact <> a.contact THEN 1 ELSE 0 END,
        record_route   = l.record_route,
        expires        = l.expires,
        status         = l.status,
        reason         = l.reason,
        local_contact  = l.local_contact,
        socket_info    = l.socket_info,
        updated        = CASE WHEN l.due THEN 0 ELSE -1 END,
        updated_winfo  = -1,
        sweep_at       = CASE WHEN l.expires = -1 THEN 9223372036854775807 ELSE l.expires END
    FROM locked AS l
    WHERE a.id = l.id AND l.verdict = 'changed' AND NOT :dry::boolean
)
SELECT l.ord, l.verdict
FROM locked AS l
