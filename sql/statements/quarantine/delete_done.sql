-- quarantine.delete_done
-- Purpose:    forget what was set aside of resources that were worked on since then
-- Called by:  notifier/src/step/settle.rs, after a resource of which something had been set aside was settled
-- Parameters: $1 presentity_uri text[] | $2 event text[] | $3 suspect timestamptz[] (when each was claimed, as queue.claim gave it)
-- Returns:    nothing; the row count says how much
-- Locks:      quarantine rows
-- Plan:       quarantine_pkey
-- Retry:      safe
-- RFC:        none
--
-- What was not tried under that claim, or was set aside again under it, has a later time, and stays.
DELETE FROM quarantine AS x
USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS i (presentity_uri, event, suspect)
WHERE x.presentity_uri = ANY ($1::text[])
  AND x.presentity_uri = i.presentity_uri AND x.event = i.event AND x.retry_at <= i.suspect
