-- watcher.give_up
-- Purpose:    give up on watchers about whom nobody decided in time
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8 | waiting_s int8
-- Returns:    rows int8 (how many were given up on)
-- Locks:      free watchers rows (SKIP LOCKED), then notify_queue by key (by trigger)
-- Plan:       one call; inside watchers_waiting_idx, watchers_pkey
-- Retry:      safe
-- RFC:        3857 section 4.7.1 (waiting, giveup: terminated)
SELECT give_up_on_watchers(:limit::bigint, :waiting_s::bigint) AS rows
