-- publication.list_claimed
-- Purpose:    what the watchers of claimed resources are to be shown: the views that there are, who changed what, and as publication.list_live the publications
-- Called by:  notifier/src/statement.rs, before each take
-- Parameters: $1 presentity_uri text[] | $2 event text[] | $3 now timestamptz (tests only, else null) | $4 documents bool (hard state counts)
-- Returns:    resource int8 (ordinal, from 1; none without a dialog) | version int8 (only in the last row of each resource, which has nothing else but the next two) | changed_by text (who made the last changes of it; empty = several, or unknown) | views text[] (of its dialogs, but for all and none) | id int8 (null in that row) | content_type text | body bytea | etag text | sender text | received_time int8 (epoch second) | modified_us int8 (epoch microsecond, 0 = unknown) | expires int8 (epoch second, -1 = never) | priority int8 | live bool (false: only its ends count) | ended int8[] | ended_at int8[] (epoch microsecond each) | now int8 (epoch second, the same in all rows)
-- Locks:      none
-- Plan:       notify_queue_pkey, active_watchers_resource_idx, active_watchers_view_idx, presentity_resource_idx, xcap_hard_state_idx
-- Retry:      safe, reads only
-- RFC:        3903 section 6: the compositor's input; 4827 section 3: a pidf-manipulation document is one more of it
--
-- One snapshot: these publications are what watchers are shown at this version, because whatever changes them raises it in the same
-- transaction. A take that finds the same version sees no newer ones.
-- A resource without any dialog is left out: nobody is to be shown it. One that comes now is flagged, and makes it due again.
WITH input AS MATERIALIZED (
    SELECT i.ord, q.presentity_uri, q.event, q.version,
           CASE WHEN q.sender_version = q.version THEN q.sender ELSE '' END AS changed_by
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i (presentity_uri, event, ord)
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = i.event
    CROSS JOIN LATERAL (
        SELECT a.id
        FROM active_watchers AS a
        WHERE a.presentity_uri = q.presentity_uri AND a.event = q.event
        LIMIT 1
    ) AS a
),
found AS (
    SELECT i.ord, 0 AS part, p.received_time, p.modified, p.id, p.content_type, p.body, p.etag, p.sender, p.expires,
           p.priority, p.ended, p.ended_at,
           NOT p.removed AND is_live(p.expires, COALESCE($3::timestamptz, now())) AS live,
           NULL::bigint AS version, NULL::text AS changed_by, NULL::text[] AS views
    FROM input AS i
    JOIN presentity AS p ON p.presentity_uri = i.presentity_uri AND p.event = i.event
    WHERE (NOT p.removed AND is_live(p.expires, COALESCE($3::timestamptz, now()))) OR p.ended <> '{}'
    UNION ALL
    SELECT i.ord, 1, 0, '-infinity', 9223372036854775807 - x.id, 'application/pidf+xml', x.doc, x.etag, '', -1, 0,
           '{}'::bigint[], '{}'::bigint[], true,
           NULL, NULL, NULL
    FROM input AS i
    CROSS JOIN LATERAL (
        SELECT x.id, x.doc, x.etag
        FROM xcap AS x
        WHERE x.presentity_uri = i.presentity_uri AND x.doc_type = 16
        -- A fence: one look-up by key for each resource, also in a session that planned while the table was empty.
        OFFSET 0
    ) AS x
    WHERE i.event = 'presence' AND $4::boolean
    UNION ALL
    -- Joined to the rows above instead, without an index, it would be compared with all of them.
    SELECT i.ord, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           i.version, i.changed_by,
           ARRAY(SELECT DISTINCT a.view
                 FROM active_watchers AS a
                 WHERE a.presentity_uri = i.presentity_uri AND a.event = i.event AND a.view <> 'all' AND a.view <> 'none')
    FROM input AS i
)
SELECT
    f.ord AS resource, f.version, f.changed_by, f.views,
    f.id, f.content_type, CASE WHEN f.live THEN f.body ELSE '' END AS body, f.etag, f.sender, f.received_time,
    CASE WHEN isfinite(f.modified) THEN (extract(epoch FROM f.modified) * 1000000)::bigint ELSE 0 END AS modified_us,
    f.expires, f.priority, f.live, f.ended, f.ended_at,
    floor(extract(epoch FROM COALESCE($3::timestamptz, now())))::bigint AS now
FROM found AS f
ORDER BY f.ord, f.part, f.received_time DESC, f.modified DESC, f.id DESC
