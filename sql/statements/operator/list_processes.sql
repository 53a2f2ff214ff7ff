-- operator.list_processes
-- Purpose:    all processes, and whether they live
-- Called by:  cli/src/status.rs
-- Parameters: none
-- Returns:    kind text | host text | pid int4 | address text | version text | started_s float8 (ago) | heartbeat_s float8 (ago) | state text (alive, silent) | believes text (empty: it takes no requests)
-- Locks:      none
-- Plan:       node is small
-- Retry:      safe, reads only
-- RFC:        none
SELECT p.kind, p.host, p.pid, p.address, p.version,
       extract(epoch FROM now() - p.started)::double precision AS started_s,
       extract(epoch FROM now() - p.heartbeat)::double precision AS heartbeat_s,
       p.state, p.believes
FROM presence_processes AS p
ORDER BY p.kind, p.host, p.pid
