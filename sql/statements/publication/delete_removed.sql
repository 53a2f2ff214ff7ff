-- publication.delete_removed
-- Purpose:    forget publications that ended more than 64*T1 ago, and whose ends were handed on (publication.hand_on_ends)
-- Called by:  notifier/src/sweep.rs
-- Parameters: limit int8
-- Returns:    rows int8 (how many were deleted)
-- Locks:      free presentity rows (SKIP LOCKED: never waits)
-- Plan:       one call; inside presentity_sweep_idx, presentity_pkey
-- Retry:      safe
-- RFC:        3261 section 17.1.2.2: after 64*T1 no copy of the request comes any more
SELECT delete_removed_publications(:limit::bigint) AS rows
