-- publication.list_claimed
-- Purpose:    what the watchers of claimed resources are to be shown: the views that there are, and as publication.list_live the publications
-- Called by:  notifier/src/step/take/reading.rs, before each take
-- Parameters: presentity_uri text[] | event text[] | now timestamptz (tests only, else null) | documents bool (hard state counts)
-- Returns:    resource int8 (ordinal, from 1; no row without a dialog, else one per publication, and one with id null if there is none) | views text[] (of its dialogs, but for all and none) | id int8 | content_type text | body bytea | etag text | sender text | received_time int8 (epoch second) | modified_us int8 (epoch microsecond, 0 = unknown) | expires int8 (epoch second, -1 = never) | priority int8 | live bool (false: only its ends count) | ended int8[] | ended_at int8[] (epoch microsecond each) | now int8 (epoch second, the same in all rows)
-- Locks:      none
-- Plan:       active_watchers_resource_idx, active_watchers_view_idx, presentity_resource_idx, xcap_hard_state_idx
-- Retry:      safe, reads only
-- RFC:        3903 section 6: the compositor's input; 4827 section 3: a pidf-manipulation document is one more of it
--
-- One snapshot, taken after the claim: these publications are what watchers are shown at the version that the claim returned, or a later one,
-- because whatever changes them raises it in the same transaction. A take that still finds that version knows that it is neither.
-- A resource without any dialog is left out: nobody is to be shown it. One that comes now is flagged, and makes it due again.
-- Nothing is kept between the parts (no WITH): each resource is looked up once, by one nested loop. Of a resource and its dialog with one
-- publication that is a quarter less work than a list of inputs that three parts read.
SELECT
    i.ord AS resource, a.views,
    f.id, f.content_type, CASE WHEN f.live THEN f.body ELSE '' END AS body, f.etag, f.sender, f.received_time,
    CASE WHEN isfinite(f.modified) THEN (extract(epoch FROM f.modified) * 1000000)::bigint ELSE 0 END AS modified_us,
    f.expires, f.priority, f.live, f.ended, f.ended_at,
    floor(extract(epoch FROM COALESCE(:now::timestamptz, now())))::bigint AS now
FROM unnest(:presentity_uri::text[], :event::text[]) WITH ORDINALITY AS i (presentity_uri, event, ord)
CROSS JOIN LATERAL (
    SELECT ARRAY(SELECT DISTINCT v.view::text
                 FROM active_watchers AS v
                 WHERE v.presentity_uri = i.presentity_uri AND v.event = i.event AND v.view <> 'all' AND v.view <> 'none') AS views
    FROM active_watchers AS a
    WHERE a.presentity_uri = i.presentity_uri AND a.event = i.event
    LIMIT 1
) AS a
LEFT JOIN LATERAL (
    SELECT false AS hard, p.received_time, p.modified, p.id, p.content_type, p.body, p.etag, p.sender, p.expires,
           p.priority, p.ended, p.ended_at,
           NOT p.removed AND is_live(p.expires, COALESCE(:now::timestamptz, now())) AS live
    FROM presentity AS p
    WHERE p.presentity_uri = i.presentity_uri AND p.event = i.event
      AND ((NOT p.removed AND is_live(p.expires, COALESCE(:now::timestamptz, now()))) OR p.ended <> '{}')
    UNION ALL
    SELECT true, 0, '-infinity', 9223372036854775807 - x.id, 'application/pidf+xml', x.doc, x.etag, '', -1, 0,
           '{}'::bigint[], '{}'::bigint[], true
    FROM xcap AS x
    WHERE x.presentity_uri = i.presentity_uri AND x.doc_type = 16 AND i.event = 'presence' AND :documents::boolean
) AS f ON true
ORDER BY i.ord, f.hard, f.received_time DESC, f.modified DESC, f.id DESC
