-- operator.list_backlog
-- Purpose:    what is due for the watchers of a presentity, and what it is waiting for
-- Called by:  cli/src/explain.rs
-- Parameters: presentity_uri text
-- Returns:    event text | owed text | state text | since_s float8 (ago) | due_s float8 (from now; negative = ago) | holder text (null = nobody) | dialogs int8
-- Locks:      none
-- Plan:       notify_queue_pkey, quarantine_pkey, node_pkey, active_watchers_resource_idx
-- Retry:      safe, reads only
-- RFC:        none
SELECT b.event, b.owed, b.state,
       extract(epoch FROM now() - b.owed_since)::double precision AS since_s,
       extract(epoch FROM b.due - now())::double precision AS due_s,
       b.holder, b.dialogs
FROM presence_backlog AS b
WHERE b.presentity_uri = :presentity_uri::text
ORDER BY b.event
