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
           AND (q.owner IS NULL OR (q.owner = :owner::bigint AND q.claim = ANY (:held::bigint[])) OR q.lease_until <= COALESCE(:now::timestamptz, now()))
         ORDER BY q.due
         LIMIT 50)
        UNION ALL
        (SELECT q.presentity_uri, q.event
         FROM notify_queue AS q
         WHERE q.due <= COALESCE(:now::timestamptz, now()) - interval '1 second' AND q.decide_at <= q.due AND q.due < 'infinity'
           AND (q.owner IS NULL OR (q.owner = :owner::bigint AND q.claim = ANY (:held::bigint[])) OR q.lease_until <= COALESCE(:now::timestamptz, now()))
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
        q.presentity_uri, q.event, q.version, q.claimed_version, q.flagged_due, q.not_before, q.changes_at, q.decide_at, q.recovered_version,
        q.owner IS NOT NULL AND q.lease_until > COALESCE(:now::timestamptz, now()) AS continued,
        q.owner IS NOT NULL AND q.lease_until <= COALESCE(:now::timestamptz, now()) AS recovered,
        q.changes_at <= COALESCE(:now::timestamptz, now()) AND q.not_before <= COALESCE(:now::timestamptz, now()) AS aged
    FROM overdue AS o
    JOIN notify_queue AS q ON q.presentity_uri = o.presentity_uri AND q.event = o.event
    WHERE q.due <= COALESCE(:now::timestamptz, now()) - interval '1 second'
      AND (q.owner IS NULL OR (q.owner = :owner::bigint AND q.claim = ANY (:held::bigint[])) OR q.lease_until <= COALESCE(:now::timestamptz, now()))
    FOR UPDATE OF q
),
numbered AS MATERIALIZED (
    -- Drawn under the lock: a change that waits for it now gets a higher one.
    SELECT d.presentity_uri, d.event, d.version, d.claimed_version, d.flagged_due, d.not_before, d.changes_at, d.decide_at,
           d.recovered_version, d.continued, d.recovered, d.aged, nextval('notify_version') AS claim, t.now,
           CASE WHEN (d.presentity_uri, d.event) IN (SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.presentity_uri > '') THEN t.now END AS suspect
    FROM due AS d
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
),
decided AS MATERIALIZED (
    SELECT
        n.presentity_uri, n.event, n.continued, n.recovered, n.suspect, n.claim, n.now,
        CASE WHEN n.recovered OR n.aged THEN n.claim ELSE n.version END AS version,
        CASE WHEN n.recovered OR n.aged THEN n.claim
             WHEN n.version > n.claimed_version AND n.not_before <= n.now THEN n.version
             ELSE n.claimed_version END AS claimed_version,
        CASE WHEN n.recovered OR n.aged OR (n.version > n.claimed_version AND n.not_before <= n.now)
             THEN n.now + make_interval(secs => :waitn_s::double precision)
             ELSE n.not_before END AS not_before,
        CASE WHEN n.recovered OR n.aged THEN 'infinity' ELSE n.changes_at END AS changes_at,
        CASE WHEN n.flagged_due <= n.now THEN 'infinity' ELSE n.flagged_due END AS flagged_due,
        n.decide_at <= n.now OR (n.recovered AND n.event = 'presence') AS decide,
        CASE WHEN n.decide_at <= n.now THEN 'infinity' ELSE n.decide_at END AS decide_at,
        CASE WHEN n.recovered THEN n.claim ELSE n.recovered_version END AS recovered_version,
        n.now + make_interval(secs => :lease_s::double precision) AS lease_until
    FROM numbered AS n
)
UPDATE notify_queue AS q
SET owner           = :owner::bigint,
    claim           = d.claim,
    lease_until     = d.lease_until,
    version         = d.version,
    claimed_version = d.claimed_version,
    not_before      = d.not_before,
    changes_at      = d.changes_at,
    full_version    = CASE WHEN d.recovered THEN d.claim ELSE q.full_version END,
    flagged_due     = d.flagged_due,
    decide_at       = d.decide_at,
    recovered_version = d.recovered_version,
    due             = LEAST(d.lease_until, d.flagged_due, d.decide_at, GREATEST(d.changes_at, d.not_before),
                            CASE WHEN d.version > d.claimed_version THEN GREATEST(d.now, d.not_before) END)
FROM decided AS d
WHERE q.presentity_uri = d.presentity_uri AND q.event = d.event
RETURNING q.presentity_uri, q.event, q.claim, q.claimed_version AS version, d.continued, d.recovered, d.decide, d.suspect,
          q.version AS last_version, CASE WHEN q.sender_version = q.version THEN q.sender ELSE '' END AS changed_by
