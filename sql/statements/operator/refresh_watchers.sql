-- operator.refresh_watchers
-- Purpose:    make a NOTIFY due for all watchers of a resource
-- Called by:  lib/web/src/method.rs, presence.refreshWatchers
-- Parameters: presentity_uri text | event text | kind int4 (0 rules, 1 state, 2 a pidf-manipulation document) | file_uri text (null unless kind 2) | filename text (null unless kind 2)
-- Returns:    watchers int8
-- Locks:      notify_queue by key
-- Plan:       one call
-- Retry:      safe, after a second run the same is due
-- RFC:        none
SELECT presence_refresh_watchers(:presentity_uri::text, :event::text, :kind::integer, :file_uri::text, :filename::text) AS watchers
