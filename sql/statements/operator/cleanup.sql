-- operator.cleanup
-- Purpose:    end what has expired and remove what nobody needs, some of it
-- Called by:  lib/web/src/method.rs, presence.cleanup, until nothing is left
-- Parameters: limit int4 | quiet bool (force_delete: notify no watcher) | waiting_s int8 (watcher_waiting_s)
-- Returns:    rows int8 (0 = nothing is left)
-- Locks:      free rows of presentity, active_watchers, watchers, notify_queue and node (SKIP LOCKED: never waits there); before these of the last two, notify_queue by key (by trigger)
-- Plan:       one call
-- Retry:      safe
-- RFC:        none
SELECT presence_cleanup(:limit::integer, :quiet::boolean, :waiting_s::bigint) AS rows
