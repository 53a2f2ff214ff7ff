-- operator.count_failing
-- Purpose:    subscriptions whose last NOTIFY failed and is tried again
-- Called by:  cli/src/status.rs
-- Parameters: many int4 (so many failures in a row are no accident)
-- Returns:    dialogs int8 | worst int4 (failures in a row, at most) | lasting int8 (dialogs with that many, or more)
-- Locks:      none
-- Plan:       active_watchers_failing_idx
-- Retry:      safe, reads only
-- RFC:        none
--
-- The whole of the partial index, which holds what failed and nothing else.
SELECT count(*) AS dialogs, COALESCE(max(a.failures), 0) AS worst, count(*) FILTER (WHERE a.failures >= :many::integer) AS lasting
FROM active_watchers AS a
WHERE a.updated <> -1 AND a.failures > 0 AND a.presentity_uri > ''
