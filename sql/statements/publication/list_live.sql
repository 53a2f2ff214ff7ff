-- publication.list_live
-- Purpose:    the live publications of resources, newest first, then the hard state of presence, to be merged; and what dialogs have ended
-- Called by:  notifier/src/step/take/reading.rs, after a take that found newer publications; lib/web/src/v1/document.rs; cli/src/explain.rs
-- Parameters: presentity_uri text[] | event text[] | now timestamptz (tests only, else null) | documents bool (hard state counts)
-- Returns:    resource int8 (ordinal, from 1) | id int8 | content_type text | body bytea | etag text | sender text | received_time int8 (epoch second) | modified_us int8 (epoch microsecond, 0 = unknown) | expires int8 (epoch second, -1 = never) | priority int8 | live bool (false: only its ends count) | ended int8[] | ended_at int8[] (epoch microsecond each) | now int8 (epoch second, the same in all rows)
-- Locks:      none
-- Plan:       presentity_resource_idx, xcap_hard_state_idx
-- Retry:      safe, reads only
-- RFC:        3903 section 6: the compositor's input; 4827 section 3: a pidf-manipulation document is one more of it
--
-- Hard state comes last, as the oldest, with ids above those of all publications: the lower id keeps an identifier that two
-- documents have, so a stored document changes no name that watchers have seen.
-- A publication that has ended a dialog is listed after its own end too, as long as its tombstone stays, without its body.
SELECT
    i.ord AS resource, f.id, f.content_type, CASE WHEN f.live THEN f.body ELSE '' END AS body, f.etag, f.sender, f.received_time,
    CASE WHEN isfinite(f.modified) THEN (extract(epoch FROM f.modified) * 1000000)::bigint ELSE 0 END AS modified_us,
    f.expires, f.priority, f.live, f.ended, f.ended_at,
    floor(extract(epoch FROM COALESCE(:now::timestamptz, now())))::bigint AS now
FROM unnest(:presentity_uri::text[], :event::text[]) WITH ORDINALITY AS i (presentity_uri, event, ord)
CROSS JOIN LATERAL (
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
) AS f
ORDER BY i.ord, f.hard, f.received_time DESC, f.modified DESC, f.id DESC
