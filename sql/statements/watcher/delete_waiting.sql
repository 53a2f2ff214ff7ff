-- watcher.delete_waiting
-- Purpose:    forget watchers who were given up on a minute ago
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8
-- Returns:    rows int8 (how many were deleted)
-- Locks:      free watchers rows (SKIP LOCKED)
-- Plan:       one call; inside watchers_waiting_idx, watchers_pkey
-- Retry:      safe
-- RFC:        3857 section 4.7.1 (terminated: the subscription is no more)
SELECT delete_waiting_watchers(:limit::bigint) AS rows
