-- node.delete_node
-- Purpose:    remove the row of a process that stops
-- Called by:  sql/src/node/row.rs, when a process stops
-- Parameters: id int8
-- Returns:    nothing
-- Locks:      its node row
-- Plan:       node_pkey
-- Retry:      safe
-- RFC:        none
DELETE FROM node
WHERE id = :id::bigint
