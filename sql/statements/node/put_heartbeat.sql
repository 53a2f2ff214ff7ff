-- node.put_heartbeat
-- Purpose:    say that a process lives
-- Called by:  sql/src/node/row.rs, every few seconds
-- Parameters: id int8 | now timestamptz (tests only, else null)
-- Returns:    nothing; no row: the process was taken for dead
-- Locks:      its node row
-- Plan:       node_pkey
-- Retry:      safe
-- RFC:        none
UPDATE node
SET heartbeat = COALESCE(:now::timestamptz, now())
WHERE id = :id::bigint
