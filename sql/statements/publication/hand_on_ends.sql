-- publication.hand_on_ends
-- Purpose:    give what publications about to be forgotten know of ended dialogs to one that is still there, if any is
-- Called by:  notifier/src/sweep.rs, before publication.delete_removed
-- Parameters: limit int8
-- Returns:    rows int8 (how many were touched)
-- Locks:      free presentity rows (SKIP LOCKED: never waits)
-- Plan:       one call; inside presentity_sweep_idx, presentity_resource_idx, presentity_pkey
-- Retry:      safe
-- RFC:        4235 section 3.7.1: nothing leaves terminated
SELECT hand_on_ends(:limit::bigint) AS rows
