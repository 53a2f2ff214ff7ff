-- publication.change_imported
-- Purpose:    bring publications that were imported before up to what Kamailio has now, and say how each stands
-- Called by:  cli/src/import.rs, batch after batch, before publication.create_imported
-- Parameters: presentity_uri text[] | event text[] | ruid text[] | etag text[] | expires int8[] | received_time int8[] | body bytea[] | sender text[] | priority int8[] | dry bool (change nothing)
-- Returns:    ord int8 (from 1, of inputs that are here already) | verdict text (changed, same, newer)
-- Locks:      presentity rows by (uri, event, id); nothing is queued
-- Plan:       presentity_resource_idx, presentity_pkey
-- Retry:      safe
-- RFC:        none
--
-- ruid is made of Kamailio's row id, which stays while the entity-tag moves with each refresh. A row that a PUBLISH has touched
-- here (it has past entity-tags, or was removed) is newer, whatever Kamailio says.
-- Quiet: Kamailio notifies the watchers of what happened there, and marks those for whom a NOTIFY is still due.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.presentity_uri, i.event, i.ruid, i.etag, i.expires, i.received_time, i.body, i.sender, i.priority
    FROM unnest(:presentity_uri::text[], :event::text[], :ruid::text[], :etag::text[], :expires::bigint[],
                :received_time::bigint[], :body::bytea[], :sender::text[], :priority::bigint[])
             WITH ORDINALITY
             AS i (presentity_uri, event, ruid, etag, expires, received_time, body, sender, priority, ord)
),
locked AS MATERIALIZED (
    SELECT
        i.ord, i.etag, i.expires, i.received_time, i.body, i.sender, i.priority,
        p.id,
        CASE WHEN p.removed OR p.past_etags <> '{}' THEN 'newer'
             WHEN p.etag = i.etag AND p.expires = i.expires AND p.received_time = i.received_time AND p.body = i.body
                  AND p.sender = i.sender AND p.priority = i.priority THEN 'same'
             ELSE 'changed' END AS verdict
    FROM input AS i
    JOIN presentity AS p ON p.presentity_uri = i.presentity_uri AND p.event = i.event AND p.ruid = i.ruid
    ORDER BY p.presentity_uri, p.event, p.id
    FOR UPDATE OF p
),
quiet AS MATERIALIZED (
    SELECT set_config('pgpresence.quiet', 'on', true) AS set
),
changed AS (
    UPDATE presentity AS p
    SET etag          = l.etag,
        expires       = l.expires,
        received_time = l.received_time,
        modified      = to_timestamp(l.received_time),
        body          = l.body,
        sender        = l.sender,
        priority      = l.priority,
        sweep_at      = CASE WHEN l.expires = -1 THEN 9223372036854775807 ELSE l.expires END
    FROM locked AS l
    CROSS JOIN quiet
    WHERE p.id = l.id AND l.verdict = 'changed' AND NOT :dry::boolean
)
SELECT l.ord, l.verdict
FROM locked AS l
