-- operator.ping
-- Purpose:    whether the database answers
-- Called by:  lib/web/src/health.rs, GET /health
-- Parameters: none
-- Returns:    answer int4
-- Locks:      none
-- Plan:       no table is read
-- Retry:      safe, reads only
-- RFC:        none
SELECT 1 AS answer
