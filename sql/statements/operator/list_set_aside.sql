-- operator.list_set_aside
-- Purpose:    what notifiers could not work on, the oldest first
-- Called by:  cli/src/status.rs, cli/src/explain.rs
-- Parameters: presentity_uri text (null = all) | limit int8
-- Returns:    presentity_uri text | event text | dialog int8 (0 = the whole resource, -1 = a decision) | step text | sqlstate text | message text | since_s float8 (ago) | retry_s float8 (from now) | tries int4 | total int8 (how many there are in all)
-- Locks:      none
-- Plan:       quarantine_pkey
-- Retry:      safe, reads only
-- RFC:        none
SELECT x.presentity_uri, x.event, x.dialog, x.step, x.sqlstate, x.message,
       extract(epoch FROM now() - x.since)::double precision AS since_s,
       extract(epoch FROM x.retry_at - now())::double precision AS retry_s,
       x.tries, count(*) OVER () AS total
FROM quarantine AS x
WHERE x.presentity_uri > '' AND (:presentity_uri::text IS NULL OR x.presentity_uri = :presentity_uri::text)
ORDER BY x.since, x.presentity_uri, x.event, x.dialog
LIMIT :limit::bigint
