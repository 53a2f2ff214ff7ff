-- publication.list_marks
-- Purpose:    whether what the documents of resources are made of has changed, without reading it
-- Called by:  lib/web/src/v1/feed.rs, once a look for all streams of the process
-- Parameters: presentity_uri text[] | event text[] | of_watchers bool[] (of the subscriptions to it, not of its publications) | now timestamptz (tests only, else null)
-- Returns:    resource int8 (ordinal, from 1) | mark text (another one as soon as a row is another one) | now int8 (epoch second)
-- Locks:      none
-- Plan:       presentity_resource_idx, xcap_hard_state_idx, active_watchers_resource_idx, watchers_winfo_idx
-- Retry:      safe, reads only
-- RFC:        none
--
-- xmin is the transaction that wrote the row as it is: whoever changes it, in whatever column, by PUBLISH or by hand, changes xmin.
-- The bodies, which are the large part, are not read. That a refresh changes it too costs one look at the document, which then is
-- the same. Of subscriptions, which are rewritten with every NOTIFY, it is the time at which a status last changed, and how many.
SELECT
    i.ord AS resource,
    CASE WHEN i.of_watchers THEN subscribed.mark || waiting.mark ELSE published.mark || hard.mark END AS mark,
    floor(extract(epoch FROM i.now))::bigint AS now
FROM (
    SELECT i.ord, i.presentity_uri, i.event, i.of_watchers, t.now
    FROM unnest(:presentity_uri::text[], :event::text[], :of_watchers::boolean[]) WITH ORDINALITY AS i (presentity_uri, event, of_watchers, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
) AS i
CROSS JOIN LATERAL (
    SELECT COALESCE(string_agg(p.id || ' ' || p.xmin::text || ' ' || is_live(p.expires, i.now)::text, ',' ORDER BY p.id), '') AS mark
    FROM presentity AS p
    WHERE NOT i.of_watchers AND p.presentity_uri = i.presentity_uri AND p.event = i.event
) AS published
CROSS JOIN LATERAL (
    SELECT COALESCE(string_agg(';' || x.id || ' ' || x.xmin::text, ',' ORDER BY x.id), '') AS mark
    FROM xcap AS x
    WHERE NOT i.of_watchers AND i.event = 'presence' AND x.presentity_uri = i.presentity_uri AND x.doc_type = 16
) AS hard
CROSS JOIN LATERAL (
    SELECT count(*) || ' ' || count(*) FILTER (WHERE a.status <> 3 AND is_live(a.expires, i.now)) || ' '
           || COALESCE(max(a.winfo_changed_at)::text, '') AS mark
    FROM active_watchers AS a
    WHERE i.of_watchers AND a.presentity_uri = i.presentity_uri AND a.event = i.event
) AS subscribed
CROSS JOIN LATERAL (
    SELECT ';' || count(*) || ' ' || COALESCE(max(w.inserted_time)::text, '') AS mark
    FROM watchers AS w
    WHERE i.of_watchers AND w.presentity_uri = i.presentity_uri AND w.event = i.event AND w.status > 3
) AS waiting
ORDER BY i.ord
