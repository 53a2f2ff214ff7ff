-- script.find_auth_status
-- Purpose:    what was decided about a watcher of a presentity's presence
-- Called by:  server/src/script/worker.rs, notifier/src/script.rs: pres_auth_status
-- Parameters: $1 watcher_uri text | $2 presentity_uri text
-- Returns:    status int4 (1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked, -1 nothing)
-- Locks:      none
-- Plan:       one call
-- Retry:      safe, reads only
-- RFC:        none
SELECT presence_auth_status($1::text, $2::text) AS status
