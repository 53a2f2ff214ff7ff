-- node.put_node
-- Purpose:    write a new process down
-- Called by:  server and notifier, at the start
-- Parameters: $1 kind text | $2 host text | $3 pid int4 | $4 address text | $5 version text | $6 events text[] | $7 now timestamptz (tests only, else null)
-- Returns:    id int8
-- Locks:      none
-- Plan:       no table is read
-- Retry:      leaves a row behind, which maintenance.delete_dead_nodes removes
-- RFC:        none
INSERT INTO node (kind, host, pid, address, version, events, started, heartbeat)
VALUES ($1::text, $2::text, $3::integer, $4::text, $5::text, $6::text[], COALESCE($7::timestamptz, now()),
        COALESCE($7::timestamptz, now()))
RETURNING id
