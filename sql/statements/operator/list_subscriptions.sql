-- operator.list_subscriptions
-- Purpose:    the subscriptions to a resource in words, and what is due for each
-- Called by:  cli/src/explain.rs, once for each event package
-- Parameters: presentity_uri text | event text | limit int8
-- Returns:    event text | watcher text | state text | reason text | owed text (nothing, decision, answer, state, again) | expires_s float8 (from now; Infinity = never) | notified int8 | failures int4 | retry_s float8 (from now; null = no failure) | user_agent text | contact text | by_flow bool | shows text | notified_s float8 (ago; null = never) | last_failure text (in words; null = the last one did not fail)
-- Locks:      none
-- Plan:       active_watchers_resource_idx, notify_queue_pkey
-- Retry:      safe, reads only
-- RFC:        none
SELECT s.event, s.watcher, s.state, s.reason, s.owed,
       CASE WHEN isfinite(s.expires) THEN extract(epoch FROM s.expires - now())::double precision ELSE 'Infinity' END AS expires_s,
       s.notified, s.failures,
       extract(epoch FROM s.retry_at - now())::double precision AS retry_s,
       s.user_agent, s.contact, s.by_flow, s.shows,
       extract(epoch FROM now() - s.notified_at)::double precision AS notified_s,
       s.last_failure
FROM presence_subscriptions AS s
WHERE s.presentity_uri = :presentity_uri::text AND s.event = :event::text
ORDER BY s.id
LIMIT :limit::bigint
