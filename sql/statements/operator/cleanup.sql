-- operator.cleanup
-- Purpose:    end what has expired and remove what nobody needs, some of it
-- Called by:  server/src/http/method.rs, presence.cleanup, until nothing is left
-- Parameters: $1 limit int4
-- Returns:    rows int8 (0 = nothing is left)
-- Locks:      free presentity and active_watchers rows (SKIP LOCKED: never waits there), then notify_queue by key (by trigger)
-- Plan:       one call
-- Retry:      safe
-- RFC:        none
SELECT presence_cleanup($1::integer) AS rows
