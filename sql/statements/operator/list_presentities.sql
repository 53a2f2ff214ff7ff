-- operator.list_presentities
-- Purpose:    live publications, a page at a time
-- Called by:  lib/web/src/method/list.rs, presence.presentity_list and presence.presentity_show
-- Parameters: after int8 (the last id of the page before; 0 = the first page) | limit int8 | username text (null = all) | domain text (null = all) | with_body bool (false: body is empty) | now timestamptz (tests only, else null)
-- Returns:    id int8 | username text | domain text | event text | etag text | sender text | expires int8 (epoch second, -1 = never) | received_time int8 (epoch second) | priority int8 | ruid text | body bytea
-- Locks:      none
-- Plan:       presentity_pkey
-- Retry:      safe, reads only
-- RFC:        none
--
-- By id, also where a user is asked for: names are compared without regard to case, and no index does that. A page costs the rows
-- that are passed over; the statement's time limit ends what is too much.
SELECT p.id, p.username, p.domain, p.event, p.etag, p.sender, p.expires, p.received_time, p.priority, p.ruid,
       CASE WHEN :with_body::boolean THEN p.body ELSE ''::bytea END AS body
FROM presentity AS p
WHERE p.id > :after::bigint
  AND (:username::text IS NULL OR lower(p.username) = lower(:username::text))
  AND (:domain::text IS NULL OR lower(p.domain) = lower(:domain::text))
  AND NOT p.removed
  AND is_live(p.expires, COALESCE(:now::timestamptz, now()))
ORDER BY p.id
LIMIT :limit::bigint
