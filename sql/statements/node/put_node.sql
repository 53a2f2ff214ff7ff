-- node.put_node
-- Purpose:    write a new process down
-- Called by:  sql/src/node/row.rs, when a process starts, and when its row is gone
-- Parameters: kind text | host text | pid int4 | address text | version text | events text[] | now timestamptz (tests only, else null) | uri_match int2 (sip_uri_match of the process) | default_policy text | believes text (empty: it takes no requests)
-- Returns:    id int8 (no row: the database matches URIs otherwise)
-- Locks:      none
-- Plan:       no table is read
-- Retry:      leaves a row behind, which maintenance.delete_dead_nodes removes
-- RFC:        none
--
-- Whoever changes the setting locks the table first: the row waits for that, and the setting is looked at afterwards.
INSERT INTO node (kind, host, pid, address, version, events, started, heartbeat, default_policy, believes)
SELECT :kind::text, :host::text, :pid::integer, :address::text, :version::text, :events::text[], COALESCE(:now::timestamptz, now()),
       COALESCE(:now::timestamptz, now()), :default_policy::text, :believes::text
WHERE presence_uri_match() = :uri_match::smallint
RETURNING id
