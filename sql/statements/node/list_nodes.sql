-- node.list_nodes
-- Purpose:    all processes
-- Called by:  cli/src/import.rs, once
-- Parameters: none
-- Returns:    id int8 | kind text | host text | pid int4 | address text | version text | events text[] | started timestamptz | heartbeat timestamptz | default_policy text | believes text
-- Locks:      none
-- Plan:       node is small
-- Retry:      safe, reads only
-- RFC:        none
SELECT id, kind, host, pid, address, version, events, started, heartbeat, default_policy, believes
FROM node
ORDER BY id
