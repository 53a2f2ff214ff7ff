-- queue.ring
-- Purpose:    ring the doorbell of all notifiers
-- Called by:  sql/src/ringer.rs, after commits, at most every few milliseconds
-- Parameters: none
-- Returns:    nothing
-- Locks:      the database-wide lock of commits that notify, for this commit
-- Plan:       no table is read
-- Retry:      safe
-- RFC:        none
SELECT FROM pg_notify('pgpresence', '')
