-- subscription.expire_batch
-- Purpose:    end dialogs whose time is up, with terminated;reason=timeout due for each
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8
-- Returns:    rows int8 (how many were touched)
-- Locks:      free active_watchers rows (SKIP LOCKED: never waits there), then notify_queue by key (by trigger)
-- Plan:       one call; inside active_watchers_sweep_idx, active_watchers_pkey
-- Retry:      safe
-- RFC:        6665 section 4.2.2 (a subscriber is notified that the subscription has expired)
SELECT expire_subscriptions(:limit::bigint) AS rows
