-- subscription.postpone_batch
-- Purpose:    look again later at dialogs that were refreshed meanwhile
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8
-- Returns:    rows int8 (how many were touched)
-- Locks:      free active_watchers rows (SKIP LOCKED: never waits); queues nothing
-- Plan:       one call; inside active_watchers_sweep_idx, active_watchers_pkey
-- Retry:      safe
-- RFC:        6665 section 4.2.1.4: a refresh extends the lifetime
SELECT postpone_subscriptions(:limit::bigint) AS rows
