-- operator.update_watchers
-- Purpose:    carry decisions over to the subscriptions that differ from them
-- Called by:  lib/web/src/method.rs, presence.updateWatchers
-- Parameters: presentity_uri text | event text
-- Returns:    changed int8 (null = there are rules, which decide anew)
-- Locks:      active_watchers rows by (uri, event, id), then notify_queue by key (by trigger)
-- Plan:       one call
-- Retry:      safe, a second run finds nothing that differs
-- RFC:        none
SELECT presence_update_watchers(:presentity_uri::text, :event::text) AS changed
