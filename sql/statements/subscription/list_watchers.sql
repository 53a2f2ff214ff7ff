-- subscription.list_watchers
-- Purpose:    who watches resources, for watcher information: all of them, those after one of them, or those whose status changed lately
-- Called by:  notifier/src/step/take/reading.rs, after each take of resources of packages <package>.winfo; lib/web/src/v1/document.rs
-- Parameters: presentity_uri text[] | event text[] (the package that is watched) | all_live bool[] (for full state) | since timestamptz[] (for partial state: those that changed at this time or later, ended ones among them; null = none) | after int8[] (for a piece of full state: all with a higher id; null = none) | limit int8 (rows of one resource, lowest ids first; null = all) | now timestamptz (tests only, else null)
-- Returns:    resource int8 (ordinal, from 1) | id int8 (negative: of a watcher that waits for longer than is known of its subscription) | watcher_username text | watcher_domain text | display_name text | status int2 | event text (what led to the status, or its reason; empty = a SUBSCRIBE) | expires_s int8 (-1 = never ends, 0 = over) | subscribed_s int8 (null = unknown) | changed bool (since that time)
-- Locks:      none
-- Plan:       active_watchers_resource_idx, watchers_winfo_idx, watchers_waited_idx
-- Retry:      safe, reads only
-- RFC:        3857 section 4.7; 3858 section 4: an ended subscription is in partial state only
--
-- One whose time is up is over, although the sweep may not have come by yet. Of two rows with one id, of which the first says that the
-- subscription has ended, the last counts: that of the watcher who waits. One who was given up on waits no longer: its subscription has ended.
-- So has that of one who was decided about while waiting.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.presentity_uri, i.event, i.all_live, i.since, i.after, t.now
    FROM unnest(:presentity_uri::text[], :event::text[], :all_live::boolean[], :since::timestamptz[], :after::bigint[]) WITH ORDINALITY
             AS i (presentity_uri, event, all_live, since, after, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
)
SELECT
    i.ord AS resource, f.id, f.watcher_username, f.watcher_domain, f.display_name, f.status, f.event, f.expires_s,
    f.subscribed_s, f.changed
FROM input AS i
CROSS JOIN LATERAL (
    SELECT s.id, s.waits, s.watcher_username, s.watcher_domain, s.display_name, s.status, s.event, s.expires_s, s.subscribed_s, s.changed
    FROM (
        (SELECT
             a.id, false AS waits, a.watcher_username, a.watcher_domain, a.from_display AS display_name,
             CASE WHEN a.live THEN a.status ELSE 3::smallint END AS status,
             CASE WHEN a.live OR a.status = 3 THEN COALESCE(NULLIF(a.status_event, ''), a.reason) ELSE 'timeout' END AS event,
             CASE WHEN NOT a.live THEN 0
                  WHEN a.expires = -1 THEN -1
                  ELSE GREATEST(1, floor(a.expires - extract(epoch FROM i.now))::bigint) END AS expires_s,
             CASE WHEN a.created_time > 0
                  THEN GREATEST(0, floor(extract(epoch FROM i.now))::bigint - a.created_time) END AS subscribed_s,
             COALESCE(a.winfo_changed_at >= i.since, false) AS changed
         FROM (SELECT w.id, w.watcher_username, w.watcher_domain, w.from_display, w.status, w.reason, w.status_event, w.expires,
                      w.created_time, w.winfo_changed_at, w.status <> 3 AND is_live(w.expires, i.now) AS live
               FROM active_watchers AS w
               -- Between two rows: with equalities the order would be that of the ids alone, for which the planner may read the whole table
               -- by its primary key. So the index begins where the piece does, and the search ends at the limit. Also a fence: one look-up
               -- for each resource, in a session that planned while the table was empty, too.
               WHERE (w.presentity_uri, w.event, w.id) > (i.presentity_uri, i.event, COALESCE(i.after, -9223372036854775808))
                 AND (w.presentity_uri, w.event) <= (i.presentity_uri, i.event)
                 AND (((i.all_live OR i.after IS NOT NULL) AND w.status <> 3 AND is_live(w.expires, i.now)) OR w.winfo_changed_at >= i.since)
               ORDER BY w.presentity_uri, w.event, w.id
               LIMIT :limit::bigint) AS a)
        UNION ALL
        (SELECT
             COALESCE(w.subscription_id, -w.id), true, w.watcher_username, w.watcher_domain, '',
             CASE WHEN w.reason = 'giveup' THEN 3::smallint ELSE w.status END, w.reason, 0, NULL,
             COALESCE(to_timestamp(w.inserted_time) >= i.since, false)
         FROM watchers AS w
         WHERE w.presentity_uri = i.presentity_uri AND w.event = i.event AND w.status > 3
           AND (((i.all_live OR COALESCE(w.subscription_id, -w.id) > i.after) AND w.reason <> 'giveup')
                OR to_timestamp(w.inserted_time) >= i.since)
         OFFSET 0)
        UNION ALL
        (SELECT
             COALESCE(w.subscription_id, -w.id), true, w.watcher_username, w.watcher_domain, '', 3::smallint,
             CASE WHEN w.status = 1 THEN 'approved'
                  -- The reason why it waited stays where somebody changes the status alone.
                  WHEN w.reason IN ('', 'timeout') THEN 'rejected'
                  ELSE w.reason END, 0, NULL, true
         FROM watchers AS w
         WHERE w.presentity_uri = i.presentity_uri AND w.event = i.event
           AND w.waited_until IS NOT NULL AND to_timestamp(w.waited_until) >= i.since
         OFFSET 0)
    ) AS s (id, waits, watcher_username, watcher_domain, display_name, status, event, expires_s, subscribed_s, changed)
    ORDER BY s.id, s.waits
    LIMIT :limit::bigint
) AS f
ORDER BY i.ord, f.id, f.waits
