-- queue.claim_overdue
-- Purpose:    claim one of the resources that have been due for over a second, waiting for its lock
-- Called by:  notifier/src/engine/leases.rs, once a second
-- Parameters: owner int8 | held int8[] (claims that are being worked on) | lease_s float8 | waitn_s float8 | now timestamptz (tests only, else null)
-- Returns:    presentity_uri text | event text | claim int8 | version int8 (0 = only flagged dialogs) | continued bool | recovered bool | decide bool (about its watchers, before anything is taken) | suspect timestamptz (this moment, if something of it was set aside before) | last_version int8 (of the last state change, which the pacing may still hold back) | changed_by text (who made the last changes of its publications; empty = several, or unknown)
-- Locks:      one notify_queue row, and nothing else while it waits
-- Plan:       notify_queue_told_idx, notify_queue_decide_idx, notify_queue_pkey, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe: a claim whose answer was lost runs out and is recovered
-- RFC:        3856 section 6.10 (pacing), 6665 section 4.2.2
--
-- As queue.claim, which see, but without SKIP LOCKED: busy publishers hold the row of a busy resource locked most of the
-- time, and SKIP LOCKED could pass it by for ever. Any one of the first: one that somebody holds for long keeps nobody else waiting.
WITH overdue AS MATERIALIZED (
    SELECT o.presentity_uri, o.event
    FROM (
        (SELECT q.presentity_uri, q.event
         FROM notify_queue AS q
         WHERE q.due <= COALESCE(:now::timestamptz, now()) - interval '1 second' AND q.due < q.decide_at
           AND {{queue.claimable}}
         ORDER BY q.due
         LIMIT 50)
        UNION ALL
        (SELECT q.presentity_uri, q.event
         FROM notify_queue AS q
         WHERE q.due <= COALESCE(:now::timestamptz, now()) - interval '1 second' AND q.decide_at <= q.due AND q.due < 'infinity'
           AND {{queue.claimable}}
         ORDER BY q.due
         LIMIT 50)
    ) AS o
    WHERE (o.presentity_uri, o.event) NOT IN (
        SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > COALESCE(:now::timestamptz, now()))
    ORDER BY random()
    LIMIT 1
),
due AS MATERIALIZED (
    SELECT
        {{queue.found}}
    FROM overdue AS o
    JOIN notify_queue AS q ON q.presentity_uri = o.presentity_uri AND q.event = o.event
    WHERE q.due <= COALESCE(:now::timestamptz, now()) - interval '1 second'
      AND {{queue.claimable}}
    FOR UPDATE OF q
),
{{queue.claiming}}
SELECT c.presentity_uri, c.event, c.claim, c.version, c.continued, c.recovered, c.decide, c.suspect, c.last_version, c.changed_by
FROM claimed AS c
