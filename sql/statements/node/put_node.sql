-- node.put_node
-- Purpose:    write a new process down
-- Called by:  server and notifier, at the start
-- Parameters: $1 kind text | $2 host text | $3 pid int4 | $4 address text | $5 version text | $6 now timestamptz (tests only, else null) | $7 default_policy text
-- Returns:    id int8
-- Locks:      none
-- Plan:       no table is read
-- Retry:      leaves a row behind, which maintenance.delete_dead_nodes removes
-- RFC:        none
INSERT INTO node (kind, host, pid, address, version, started, heartbeat, default_policy)
VALUES ($1::text, $2::text, $3::integer, $4::text, $5::text, COALESCE($6::timestamptz, now()), COALESCE($6::timestamptz, now()), $7::text)
RETURNING id
