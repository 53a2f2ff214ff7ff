-- maintenance.put_clock
-- Purpose:    put the triggers of this session at another time; null puts them back to the present
-- Called by:  sql/src/store/session.rs, in tests only
-- Parameters: now timestamptz
-- Returns:    nothing
-- Locks:      none
-- Plan:       no table is read
-- Retry:      safe
-- RFC:        none
SELECT FROM set_config('pgpresence.now', COALESCE(:now::timestamptz::text, ''), false)
