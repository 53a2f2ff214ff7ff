-- operator.list_watchers
-- Purpose:    the subscriptions to a presentity, a page at a time
-- Called by:  lib/web/src/method/list.rs, presence.watcher_list
-- Parameters: presentity_uri text | after int8 (the last id of the page before; 0 = the first page) | limit int8
-- Returns:    id int8 | presentity_uri text | event text | to_user text | to_domain text | from_user text | from_domain text | watcher_username text | watcher_domain text | contact text | event_id text | callid text | user_agent text | expires int8 (epoch second, -1 = never) | status int2 | version int8 | flags int8 | reason text | to_tag text | from_tag text | socket_info text | local_contact text | record_route text | remote_cseq int8 | local_cseq int8 | updated int8 | updated_winfo int8
-- Locks:      none
-- Plan:       active_watchers_resource_idx, active_watchers_pkey
-- Retry:      safe, reads only
-- RFC:        none
--
-- The presentity first, behind a fence: with the order by id and a limit, a plan would look for it along the primary key.
WITH found AS MATERIALIZED (
    SELECT a.id
    FROM active_watchers AS a
    WHERE a.presentity_uri = presence_uri(:presentity_uri::text) AND NOT a.ended
),
page AS MATERIALIZED (
    SELECT f.id FROM found AS f WHERE f.id > :after::bigint ORDER BY f.id LIMIT :limit::bigint
)
SELECT
    a.id, a.presentity_uri, a.event, a.to_user, a.to_domain, a.from_user, a.from_domain, a.watcher_username, a.watcher_domain,
    a.contact, a.event_id, a.callid, a.user_agent, a.expires, a.status, a.version, a.flags, a.reason, a.to_tag, a.from_tag,
    a.socket_info, a.local_contact, a.record_route, a.remote_cseq, a.local_cseq, a.updated, a.updated_winfo
FROM page AS p
JOIN active_watchers AS a ON a.id = p.id
ORDER BY a.id
