-- kamailio.list_dialogs
-- Purpose:    read a page of Kamailio's active_watchers
-- Called by:  cli/src/import.rs, on Kamailio's database, page after page
-- Parameters: after_id int8 | limit int8
-- Returns:    id int8 | presentity_uri text | watcher_username text | watcher_domain text | to_user text | to_domain text | event text | event_id text | to_tag text | from_tag text | callid text | local_cseq int8 | remote_cseq int8 | contact text | record_route text | expires int8 | status int8 | reason text | version int8 | socket_info text | local_contact text | from_user text | from_domain text | updated int8 | flags int8 | user_agent text | interrupted bool | now int8
-- Locks:      none
-- Plan:       active_watchers_pkey
-- Retry:      safe
-- RFC:        none
--
-- xmax of a row is the last transaction that locked it; a transaction that locks a row and then writes it leaves itself as xmin
-- and as xmax. A notifier process of Kamailio's locks the row, sends the NOTIFY, writes the row: stopped in between, it leaves an
-- xmax that is not xmin, and has used a CSeq that the row does not know of. (While a NOTIFY is pending, others lock the row too.)
SELECT
    a.id::bigint AS id, a.presentity_uri::text AS presentity_uri, a.watcher_username::text AS watcher_username,
    a.watcher_domain::text AS watcher_domain, a.to_user::text AS to_user, a.to_domain::text AS to_domain,
    a.event::text AS event, COALESCE(a.event_id, '')::text AS event_id, a.to_tag::text AS to_tag,
    a.from_tag::text AS from_tag, a.callid::text AS callid, a.local_cseq::bigint AS local_cseq,
    a.remote_cseq::bigint AS remote_cseq, a.contact::text AS contact, COALESCE(a.record_route, '')::text AS record_route,
    a.expires::bigint AS expires, a.status::bigint AS status, COALESCE(a.reason, '')::text AS reason,
    a.version::bigint AS version, a.socket_info::text AS socket_info, a.local_contact::text AS local_contact,
    a.from_user::text AS from_user, a.from_domain::text AS from_domain, a.updated::bigint AS updated,
    COALESCE(a.flags, 0)::bigint AS flags, COALESCE(a.user_agent, '')::text AS user_agent,
    (a.xmax::text NOT IN ('0', a.xmin::text) AND a.updated = -1) AS interrupted,
    floor(extract(epoch FROM now()))::bigint AS now
FROM active_watchers AS a
WHERE a.id > :after_id::bigint
ORDER BY a.id
LIMIT :limit::bigint
