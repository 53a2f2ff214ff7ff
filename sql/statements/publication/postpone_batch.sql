-- publication.postpone_batch
-- Purpose:    look again later at publications that were refreshed meanwhile
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8
-- Returns:    rows int8 (how many were touched)
-- Locks:      free presentity rows (SKIP LOCKED: never waits); queues nothing
-- Plan:       one call; inside presentity_sweep_idx, presentity_pkey
-- Retry:      safe
-- RFC:        3903 section 6: a refresh extends the lifetime
SELECT postpone_publications(:limit::bigint) AS rows
