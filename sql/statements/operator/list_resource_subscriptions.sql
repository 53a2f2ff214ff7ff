-- operator.list_resource_subscriptions
-- Purpose:    the subscriptions to a resource in words, a page at a time
-- Called by:  lib/web/src/v1/watchers.rs
-- Parameters: presentity_uri text | event text | after int8 (the last id of the page before; 0 = the first page) | limit int8
-- Returns:    id int8 | watcher text | state text | reason text | expires text (RFC 3339; null = never) | user_agent text
-- Locks:      none
-- Plan:       active_watchers_resource_idx, active_watchers_pkey
-- Retry:      safe, reads only
-- RFC:        3857 section 4.7.1 for the states
--
-- The resource first, behind a fence: with the order by id and a limit, a plan would look for it along the primary key.
WITH found AS MATERIALIZED (
    SELECT a.id
    FROM active_watchers AS a
    WHERE a.presentity_uri = :presentity_uri::text AND a.event = :event::text AND NOT a.ended
),
page AS MATERIALIZED (
    SELECT f.id FROM found AS f WHERE f.id > :after::bigint ORDER BY f.id LIMIT :limit::bigint
)
SELECT
    s.id, s.watcher, s.state, s.reason,
    CASE WHEN isfinite(s.expires) THEN to_char(s.expires AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END AS expires,
    s.user_agent
FROM page AS p
JOIN presence_subscriptions AS s ON s.id = p.id
ORDER BY s.id
