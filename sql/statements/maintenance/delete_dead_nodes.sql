-- maintenance.delete_dead_nodes
-- Purpose:    delete processes that have been silent for 60 s
-- Called by:  notifier/src/sweep.rs
-- Parameters: none
-- Returns:    rows int8 (how many were deleted)
-- Locks:      free node rows (SKIP LOCKED)
-- Plan:       node is small
-- Retry:      safe
-- RFC:        none
SELECT delete_dead_nodes() AS rows
