-- subscription.list_imported
-- Purpose:    list dialogs that came from Kamailio and that no SUBSCRIBE has touched here
-- Called by:  cli/src/import.rs, page after page
-- Parameters: $1 after_id int8 | $2 limit int8
-- Returns:    id int8 | callid text | to_tag text | from_tag text
-- Locks:      none
-- Plan:       active_watchers_pkey
-- Retry:      safe
-- RFC:        none
--
-- sweep_at stays where it is when a SUBSCRIBE moves expires: while both agree, none has come.
SELECT a.id, a.callid, a.to_tag, a.from_tag
FROM active_watchers AS a
WHERE a.id > $1::bigint AND a.socket_info LIKE 'kamailio %' AND a.status <> 3
  AND a.sweep_at = CASE WHEN a.expires = -1 THEN 9223372036854775807 ELSE a.expires END
ORDER BY a.id
LIMIT $2::bigint
