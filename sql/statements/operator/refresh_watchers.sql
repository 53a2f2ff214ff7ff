-- operator.refresh_watchers
-- Purpose:    owe all watchers of a resource a NOTIFY
-- Called by:  lib/web/src/method.rs, presence.refreshWatchers
-- Parameters: $1 presentity_uri text | $2 event text | $3 type int4 (0 rules, 1 state, 2 a pidf-manipulation document) | $4 file_uri text (null unless type 2) | $5 filename text (null unless type 2)
-- Returns:    watchers int8
-- Locks:      notify_queue by key
-- Plan:       one call
-- Retry:      safe, a second run owes the same
-- RFC:        none
SELECT presence_refresh_watchers($1::text, $2::text, $3::integer, $4::text, $5::text) AS watchers
