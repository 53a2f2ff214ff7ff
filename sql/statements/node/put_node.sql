-- node.put_node
-- Purpose:    write a new process down
-- Called by:  sql/src/node/row.rs, when a process starts, and when its row is gone
-- Parameters: $1 kind text | $2 host text | $3 pid int4 | $4 address text | $5 version text | $6 events text[] | $7 now timestamptz (tests only, else null) | $8 uri_match int2 (sip_uri_match of the process) | $9 default_policy text
-- Returns:    id int8 (no row: the database matches URIs otherwise)
-- Locks:      none
-- Plan:       no table is read
-- Retry:      leaves a row behind, which maintenance.delete_dead_nodes removes
-- RFC:        none
--
-- Whoever changes the setting locks the table first: the row waits for that, and the setting is looked at afterwards.
INSERT INTO node (kind, host, pid, address, version, events, started, heartbeat, default_policy)
SELECT $1::text, $2::text, $3::integer, $4::text, $5::text, $6::text[], COALESCE($7::timestamptz, now()),
       COALESCE($7::timestamptz, now()), $9::text
WHERE presence_uri_match() = $8::smallint
RETURNING id
