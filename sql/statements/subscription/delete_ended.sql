-- subscription.delete_ended
-- Purpose:    forget dialogs that ended more than 64*T1 ago
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8
-- Returns:    rows int8 (how many were deleted)
-- Locks:      free active_watchers rows (SKIP LOCKED: never waits)
-- Plan:       one call; inside active_watchers_sweep_idx, active_watchers_pkey, notify_queue_pkey
-- Retry:      safe
-- RFC:        3261 section 17.1.2.2: after 64*T1 no copy of the request comes any more
SELECT delete_ended_subscriptions(:limit::bigint) AS rows
