-- subscription.list_imported
-- Purpose:    list dialogs that came from Kamailio and that no SUBSCRIBE has touched here
-- Called by:  cli/src/import.rs, page after page
-- Parameters: after_id int8 | limit int8
-- Returns:    id int8 | callid text | to_tag text | from_tag text
-- Locks:      none
-- Plan:       active_watchers_pkey
-- Retry:      safe
-- RFC:        none
--
-- socket_info holds the CSeq that the last SUBSCRIBE had at Kamailio's: while remote_cseq is the same, none has come here.
SELECT a.id, a.callid, a.to_tag, a.from_tag
FROM active_watchers AS a
WHERE a.id > :after_id::bigint AND a.status <> 3 AND a.socket_info LIKE 'kamailio %'
  AND a.socket_info LIKE '% cseq=' || a.remote_cseq
ORDER BY a.id
LIMIT :limit::bigint
