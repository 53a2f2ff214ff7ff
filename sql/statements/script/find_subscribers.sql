-- script.find_subscribers
-- Purpose:    whether anybody subscribes to an event package of a presentity
-- Called by:  server/src/script/worker.rs, notifier/src/script.rs: pres_has_subscribers
-- Parameters: presentity_uri text | event text
-- Returns:    found bool
-- Locks:      none
-- Plan:       one call
-- Retry:      safe, reads only
-- RFC:        none
SELECT presence_has_subscribers(:presentity_uri::text, :event::text) AS found
