-- subscription.supersede_batch
-- Purpose:    of the subscriptions of one subscriber keep the newest and end the others, with terminated;reason=rejected due for each
-- Called by:  server/src/subscribe.rs through write_batch.rs, after a create_batch with keys has committed and before it is answered
-- Parameters: presentity_uri text[] | event text[] | event_id text[] | watcher_username text[] | watcher_domain text[] | subscriber_key text[] | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how many were ended
-- Locks:      active_watchers rows by (uri, event, id), only those that are to end, then notify_queue by key (by trigger)
-- Plan:       active_watchers_subscriber_idx, active_watchers_pkey
-- Retry:      safe: what is ended is not ended again
-- RFC:        6665 section 4.2.2: who is sent rejected does not subscribe again; deactivated, timeout and probation would make a phone that still holds the old dialog do so, and end the new one
--
-- A statement of its own, after the commit of the rows: two servers that create two dialogs of one phone at the same time cannot see each
-- other's row before that. Whoever of them comes here later sees both rows, and exactly the newest lives. Should a server die
-- in between, the phone was not answered: it repeats itself, and the server that takes the copy comes by here.
-- By Call-ID, as in Kamailio, nothing else counts but the presentity, and the event, since each event package has subscriptions of
-- its own. By the phone it must be the same watcher as well, and the same id of Event: a phone may watch one thing twice at once.
-- Newest is the highest id of all rows with the key, ended ones included: it never sinks, so a row that was older once stays older.
WITH input AS MATERIALIZED (
    SELECT DISTINCT i.presentity_uri, i.event, i.subscriber_key,
           CASE WHEN k.is_phone THEN i.event_id END         AS event_id,
           CASE WHEN k.is_phone THEN i.watcher_username END AS watcher_username,
           CASE WHEN k.is_phone THEN i.watcher_domain END   AS watcher_domain
    FROM unnest(:presentity_uri::text[], :event::text[], :event_id::text[], :watcher_username::text[], :watcher_domain::text[],
                :subscriber_key::text[])
             AS i (presentity_uri, event, event_id, watcher_username, watcher_domain, subscriber_key)
    CROSS JOIN LATERAL (SELECT NOT starts_with(i.subscriber_key, 'call-id:') AS is_phone) AS k
),
known AS MATERIALIZED (
    SELECT a.id, a.id < max(a.id) OVER (PARTITION BY i.presentity_uri, i.event, i.event_id, i.watcher_username, i.watcher_domain,
                                                     i.subscriber_key) AS superseded
    FROM input AS i
    JOIN active_watchers AS a ON a.presentity_uri = i.presentity_uri AND a.subscriber_key = i.subscriber_key
    WHERE a.subscriber_key IS NOT NULL AND a.event = i.event
      AND (i.event_id IS NULL OR a.event_id = i.event_id)
      AND (i.watcher_username IS NULL OR a.watcher_username = i.watcher_username AND a.watcher_domain = i.watcher_domain)
),
locked AS MATERIALIZED (
    SELECT a.id, COALESCE(:now::timestamptz, now()) AS now
    FROM known AS k
    JOIN active_watchers AS a ON a.id = k.id
    WHERE k.superseded AND a.status <> 3
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a
)
UPDATE active_watchers AS a
SET status        = 3,
    reason        = 'rejected',
    updated       = 0,
    updated_winfo = -1,
    sweep_at      = expiry_at(300, l.now)
FROM locked AS l
WHERE a.id = l.id
