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
-- One holder at a time: a row is free when nobody holds it or the lease is over; the row lock decides between two claimers,
-- and the loser judges the row anew. A change that comes during the lease makes the row due for its holder alone.
-- Our own row is ours to claim again only while we know its claim (held). One that we gave up, because the answer to a take was
-- lost or too little of the lease was left, must not be claimed as if nothing had happened: it would be settled, and what that
-- take took be lost. It stays as it is until its lease runs out.
-- A lease that ran out, also our own, is recovered: what was taken under it may never have been sent, so the resource gets a
-- new version, which every dialog has yet to see, in full (full_version): nobody knows which changes it has been told of.
-- A document whose time has come to change by itself (changes_at) is a state change as well, and gets its version here.
-- A state change is claimed only when the pacing allows; flagged dialogs never wait for that, nor pull it forward, and no more do
-- decisions. What a holder whose lease ran out was about to decide is decided by the next.
-- What is due because of a decision has an index and a limit of its own: ten thousand documents that are stored at once stand in nobody's
-- way. What was set aside (quarantine) is left alone until its time has come.
WITH told AS MATERIALIZED (
    SELECT
        q.presentity_uri, q.event, q.version, q.claimed_version, q.flagged_due, q.not_before, q.changes_at, q.decide_at, q.recovered_version,
        q.owner IS NOT NULL AND q.lease_until > COALESCE(:now::timestamptz, now()) AS continued,
        q.owner IS NOT NULL AND q.lease_until <= COALESCE(:now::timestamptz, now()) AS recovered,
        q.changes_at <= COALESCE(:now::timestamptz, now()) AND q.not_before <= COALESCE(:now::timestamptz, now()) AS aged
    FROM notify_queue AS q
    WHERE q.due <= COALESCE(:now::timestamptz, now()) AND q.due < q.decide_at
      AND (q.owner IS NULL OR (q.owner = :owner::bigint AND q.claim = ANY (:held::bigint[])) OR q.lease_until <= COALESCE(:now::timestamptz, now()))
      AND (q.presentity_uri, q.event) NOT IN (
          SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > COALESCE(:now::timestamptz, now())
          UNION ALL
          SELECT i.presentity_uri, i.event FROM unnest(:apart_uri::text[], :apart_event::text[]) AS i (presentity_uri, event))
    ORDER BY q.due
    LIMIT :limit::bigint
    FOR UPDATE SKIP LOCKED
),
undecided AS MATERIALIZED (
    SELECT
        q.presentity_uri, q.event, q.version, q.claimed_version, q.flagged_due, q.not_before, q.changes_at, q.decide_at, q.recovered_version,
        q.owner IS NOT NULL AND q.lease_until > COALESCE(:now::timestamptz, now()) AS continued,
        q.owner IS NOT NULL AND q.lease_until <= COALESCE(:now::timestamptz, now()) AS recovered,
        q.changes_at <= COALESCE(:now::timestamptz, now()) AND q.not_before <= COALESCE(:now::timestamptz, now()) AS aged
    FROM notify_queue AS q
    WHERE q.due <= COALESCE(:now::timestamptz, now()) AND q.decide_at <= q.due AND q.due < 'infinity'
      AND (q.owner IS NULL OR (q.owner = :owner::bigint AND q.claim = ANY (:held::bigint[])) OR q.lease_until <= COALESCE(:now::timestamptz, now()))
      AND (q.presentity_uri, q.event) NOT IN (
          SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > COALESCE(:now::timestamptz, now())
          UNION ALL
          SELECT i.presentity_uri, i.event FROM unnest(:apart_uri::text[], :apart_event::text[]) AS i (presentity_uri, event))
    ORDER BY q.due
    LIMIT :decisions::bigint
    FOR UPDATE SKIP LOCKED
),
numbered AS MATERIALIZED (
    -- Drawn under the lock: a change that waits for it now gets a higher one.
    SELECT d.presentity_uri, d.event, d.version, d.claimed_version, d.flagged_due, d.not_before, d.changes_at, d.decide_at,
           d.recovered_version, d.continued, d.recovered, d.aged, nextval('notify_version') AS claim, t.now,
           CASE WHEN (d.presentity_uri, d.event) IN (SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.presentity_uri > '') THEN t.now END AS suspect
    FROM (SELECT t.presentity_uri, t.event, t.version, t.claimed_version, t.flagged_due, t.not_before, t.changes_at, t.decide_at,
                 t.recovered_version, t.continued, t.recovered, t.aged
          FROM told AS t
          UNION ALL
          SELECT u.presentity_uri, u.event, u.version, u.claimed_version, u.flagged_due, u.not_before, u.changes_at, u.decide_at,
                 u.recovered_version, u.continued, u.recovered, u.aged
          FROM undecided AS u) AS d
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
),
claimed AS (
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
)
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
