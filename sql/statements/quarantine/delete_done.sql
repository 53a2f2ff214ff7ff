-- quarantine.delete_done
-- Purpose:    forget what was set aside of resources that were worked on since then
-- Called by:  notifier/src/step/settle.rs, after a resource of which something had been set aside was settled
-- Parameters: $1 presentity_uri text[] | $2 event text[] | $3 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how much
-- Locks:      quarantine rows
-- Plan:       quarantine_pkey, quarantine_retry_idx
-- Retry:      safe
-- RFC:        none
--
-- What has been set aside again meanwhile has a later time, and stays.
DELETE FROM quarantine AS x
WHERE x.presentity_uri = ANY ($1::text[])
  AND (x.presentity_uri, x.event) IN (SELECT i.presentity_uri, i.event FROM unnest($1::text[], $2::text[]) AS i (presentity_uri, event))
  AND x.retry_at <= COALESCE($3::timestamptz, now())
