-- queue.list_due
-- Purpose:    what queue.claim would claim, to find the row that an error is about
-- Called by:  notifier/src/step/claim.rs, when a claim failed
-- Parameters: owner int8 | held int8[] (claims that are being worked on) | limit int8 | now timestamptz (tests only, else null) | decisions int8
-- Returns:    presentity_uri text | event text
-- Locks:      none
-- Plan:       notify_queue_told_idx, notify_queue_decide_idx, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe, reads only
-- RFC:        none
SELECT o.presentity_uri, o.event
FROM (
    (SELECT q.presentity_uri, q.event
     FROM notify_queue AS q
     WHERE q.due <= COALESCE(:now::timestamptz, now()) AND q.due < q.decide_at
       AND {{queue.claimable}}
       AND (q.presentity_uri, q.event) NOT IN (
           SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > COALESCE(:now::timestamptz, now()))
     ORDER BY q.due
     LIMIT :limit::bigint)
    UNION ALL
    (SELECT q.presentity_uri, q.event
     FROM notify_queue AS q
     WHERE q.due <= COALESCE(:now::timestamptz, now()) AND q.decide_at <= q.due AND q.due < 'infinity'
       AND {{queue.claimable}}
       AND (q.presentity_uri, q.event) NOT IN (
           SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > COALESCE(:now::timestamptz, now()))
     ORDER BY q.due
     LIMIT :decisions::bigint)
) AS o
