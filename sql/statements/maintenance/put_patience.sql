-- maintenance.put_patience
-- Purpose:    say how long the statements of this session wait for a lock
-- Called by:  sql/src/store/session.rs, for a handle whose statements wait only moments for a lock
-- Parameters: wait_ms int8 (0 = as long as the statement may take)
-- Returns:    nothing
-- Locks:      none
-- Plan:       no table is read
-- Retry:      safe
-- RFC:        none
SELECT FROM set_config('lock_timeout', :wait_ms::bigint::text, false)
