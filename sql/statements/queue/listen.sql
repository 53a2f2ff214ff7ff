-- queue.listen
-- Purpose:    hear the doorbell
-- Called by:  sql/src/doorbell.rs, on a connection of its own
-- Parameters: none
-- Returns:    nothing
-- Locks:      none
-- Plan:       no table is read
-- Retry:      safe
-- RFC:        none
LISTEN pgpresence
