-- maintenance.delete_idle_resources
-- Purpose:    delete queue rows with nothing due that have been quiet for 15 s
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8
-- Returns:    rows int8 (how many were deleted)
-- Locks:      free notify_queue rows (SKIP LOCKED: never waits)
-- Plan:       one call; inside notify_queue_idle_idx, notify_queue_pkey
-- Retry:      safe
-- RFC:        none
SELECT delete_idle_resources(:limit::bigint) AS rows
