-- maintenance.delete_dead_nodes
-- Purpose:    delete processes that have not said for long that they live
-- Called by:  notifier/src/sweep.rs
-- Parameters: $1 silence_s float8 | $2 now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were deleted
-- Locks:      node rows
-- Plan:       node is small
-- Retry:      safe
-- RFC:        none
DELETE FROM node
WHERE heartbeat < COALESCE($2::timestamptz, now()) - make_interval(secs => $1::double precision)
