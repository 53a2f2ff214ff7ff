-- queue.claim
-- Purpose:    claim resources that are due and free, or due and ours, earliest first
-- Called by:  notifier/src/step/claim.rs, at each poll and each ring
-- Parameters: owner int8 | held int8[] (claims that are being worked on) | limit int8 | lease_s float8 | waitn_s float8 | now timestamptz (tests only, else null) | horizon_s float8 (how far to look ahead; 0 = not) | decisions int8 (most of those that are due to be decided about, beside the limit) | apart_uri text[] (resources to be left alone) | apart_event text[]
-- Returns:    presentity_uri text | event text | claim int8 | version int8 (0 = only flagged dialogs) | continued bool | recovered bool | decide bool (about its watchers, before anything is taken) | suspect timestamptz (this moment, if something of it was set aside before) | last_version int8 (of the last state change, which the pacing may still hold back) | changed_by text (who made the last changes of its publications; empty = several, or unknown) | next_due_s float8 (only in a last row that has nothing else: the next resource that will be due within the horizon)
-- Locks:      free notify_queue rows (SKIP LOCKED: never waits)
-- Plan:       notify_queue_told_idx, notify_queue_decide_idx, notify_queue_pkey, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe: a claim whose answer was lost runs out and is recovered
-- RFC:        3856 section 6.10 (pacing), 6665 section 4.2.2
--
-- What makes a row claimable, and what a claim does to it, is in sql/fragments/queue, for queue.claim_overdue as well.
-- What is due because of a decision has an index and a limit of its own: ten thousand documents that are stored at once stand in nobody's
-- way. What was set aside (quarantine) is left alone until its time has come.
WITH to_notify AS MATERIALIZED (
    SELECT
        {{queue.found}}
    FROM notify_queue AS q
    WHERE q.due <= COALESCE(:now::timestamptz, now()) AND q.due < q.decide_at
      AND {{queue.claimable}}
      AND (q.presentity_uri, q.event) NOT IN (
          SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > COALESCE(:now::timestamptz, now())
          UNION ALL
          SELECT i.presentity_uri, i.event FROM unnest(:apart_uri::text[], :apart_event::text[]) AS i (presentity_uri, event))
    ORDER BY q.due
    LIMIT :limit::bigint
    FOR UPDATE SKIP LOCKED
),
to_decide AS MATERIALIZED (
    SELECT
        {{queue.found}}
    FROM notify_queue AS q
    WHERE q.due <= COALESCE(:now::timestamptz, now()) AND q.decide_at <= q.due AND q.due < 'infinity'
      AND {{queue.claimable}}
      AND (q.presentity_uri, q.event) NOT IN (
          SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > COALESCE(:now::timestamptz, now())
          UNION ALL
          SELECT i.presentity_uri, i.event FROM unnest(:apart_uri::text[], :apart_event::text[]) AS i (presentity_uri, event))
    ORDER BY q.due
    LIMIT :decisions::bigint
    FOR UPDATE SKIP LOCKED
),
due AS (
    SELECT n.presentity_uri, n.event, n.version, n.claimed_version, n.flagged_due, n.not_before, n.changes_at, n.decide_at,
           n.recovered_version, n.continued, n.recovered, n.aged
    FROM to_notify AS n
    UNION ALL
    SELECT d.presentity_uri, d.event, d.version, d.claimed_version, d.flagged_due, d.not_before, d.changes_at, d.decide_at,
           d.recovered_version, d.continued, d.recovered, d.aged
    FROM to_decide AS d
),
{{queue.claiming}}
SELECT c.presentity_uri, c.event, c.claim, c.version, c.continued, c.recovered, c.decide, c.suspect, c.last_version, c.changed_by,
       NULL::double precision AS next_due_s
FROM claimed AS c
UNION ALL
-- What the pacing holds back: without this it would wait for a poll on top of waitn_time.
(SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        extract(epoch FROM q.due - COALESCE(:now::timestamptz, now()))::double precision
 FROM notify_queue AS q
 WHERE q.due > COALESCE(:now::timestamptz, now())
   AND q.due <= COALESCE(:now::timestamptz, now()) + make_interval(secs => :horizon_s::double precision)
   AND q.due < q.decide_at
   AND (q.owner IS NULL OR q.owner = :owner::bigint)
 ORDER BY q.due
 LIMIT 1)
