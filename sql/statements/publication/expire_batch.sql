-- publication.expire_batch
-- Purpose:    end publications whose time is up
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8 | quiet bool (force_delete: notify no watcher)
-- Returns:    rows int8 (how many were touched)
-- Locks:      free presentity rows (SKIP LOCKED: never waits there), then notify_queue by key (by trigger)
-- Plan:       one call; inside presentity_sweep_idx, presentity_pkey
-- Retry:      safe
-- RFC:        3903 section 6.1: expired event state is removed; kept 32 s as a tombstone, so that a copy of its first PUBLISH does not raise it
SELECT expire_publications(:limit::bigint, :quiet::boolean) AS rows
