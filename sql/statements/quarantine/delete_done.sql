-- quarantine.delete_done
-- Purpose:    forget what was set aside of resources that were worked on since then
-- Called by:  notifier/src/step/settle.rs, after a resource of which something had been set aside was settled
-- Parameters: presentity_uri text[] | event text[] | suspect timestamptz[] (when each was claimed, as queue.claim gave it)
-- Returns:    nothing; the row count says how much
-- Locks:      quarantine rows
-- Plan:       quarantine_pkey
-- Retry:      safe
-- RFC:        none
--
-- What was not tried under that claim, or was set aside again under it, has a later time, and stays.
DELETE FROM quarantine AS x
USING unnest(:presentity_uri::text[], :event::text[], :suspect::timestamptz[]) AS i (presentity_uri, event, suspect)
WHERE x.presentity_uri = ANY (:presentity_uri::text[])
  AND x.presentity_uri = i.presentity_uri AND x.event = i.event AND x.retry_at <= i.suspect
