-- queue.claiming
-- Purpose:    the step from due to claimed, the same for each row however it was found
-- Part of:    queue.claim, queue.claim_overdue
-- Needs:      due, with the columns of queue.found; the rows of it are locked
-- Parameters: owner | lease_s | waitn_s | now
--
-- One holder at a time: a row is free when nobody holds it or the lease is over; the row lock decides between two claimers,
-- and the loser judges the row anew. A change that comes during the lease makes the row due for its holder alone.
-- A lease that ran out, also our own, is recovered: what was taken under it may never have been sent, so the resource gets a
-- new version, which every dialog has yet to see, in full (full_version): nobody knows which changes it has been shown.
-- A document whose time has come to change by itself (changes_at) is a state change as well, and gets its version here.
-- A state change is claimed only when the pacing allows; flagged dialogs never wait for that, nor pull it forward, and no more do
-- decisions. What a holder whose lease ran out was about to decide is decided by the next.
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
