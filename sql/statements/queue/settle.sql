-- queue.settle
-- Purpose:    hand resources back: idle if nothing is due any more, else free and due when the next thing is
-- Called by:  notifier/src/step/settle.rs, after the verdicts are committed and nothing is in flight
-- Parameters: owner int8 | presentity_uri text[] | event text[] | claim int8[] | state_taken bool[] | now timestamptz (tests only, else null) | next_change_s float8[] (epoch second at which the document changes by itself; Infinity = never, null = none was rendered) | decided_rules int8[] (rules_version that it was decided by; -1 = it is still to be decided, null = nothing was) | doubted bool[] (nothing was taken: settle it only if nothing is due) | digest int8[] (of what the view all shows, if it is doubted) | digests text[] (a JSON object: those of other views) | suspect timestamptz[] (as queue.claim gave it)
-- Returns:    resource int8 (ordinal, from 1: one that is settled). Not: what is not held under that claim, is locked by somebody, or has something due
-- Locks:      free notify_queue rows (SKIP LOCKED), watcher information last, by (uri, event); active_watchers and watchers are read without a lock
-- Plan:       notify_queue_pkey, active_watchers_resource_idx, watchers_recheck_idx, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe, the second run holds nothing
-- RFC:        none
--
-- Done means: the version that was claimed is still the last one, and every dialog for which it was due was taken. A change that came
-- since then has raised version; it stays, due when the pacing allows.
-- Flags are looked up in active_watchers, because claiming zeroed flagged_due and retries wait there for their time. Our
-- snapshot misses a flag that is committed after it; but that one's trigger wrote flagged_due, which we read under the lock,
-- or waits for our lock and writes it after us. Undecided dialogs are none of them: their trigger wrote decide_at.
-- The next decision that time changes is looked up as well; the holder alone writes those.
-- What a document says of its own next change counts for all dialogs if a state change was claimed; if only flagged dialogs were
-- shown it, the others still wait for the time that was known before. A time that has come and was not claimed stays: a dialog
-- that was shown this state just before it, as a flagged one, was not taken again. Too early costs a NOTIFY, too late leaves a
-- lamp on.
-- State that was claimed but not wholly taken (a notifier that stops) is due at once: its pacing starts over.
-- A take that returns nothing cannot say whether nothing was due or somebody holds all rows for which something is: it is doubted, and looked after here,
-- by what take goes by.
-- A dialog that was set aside (quarantine) has nothing due until it is tried again: then the resource is due, as if its document changed by itself,
-- or to be decided about, if it was a decision that could not be written. That time may have come while others kept the resource busy. What was
-- set aside up to the claim was tried under it: that it is still due is seen by its other marks, or by a later time.
WITH locked AS MATERIALIZED (
    SELECT i.ord, q.presentity_uri, q.event, q.version, q.claimed_version, q.flagged_due, q.not_before, q.changes_at,
           q.decide_at, q.decided_rules, q.recovered_version, i.state_taken, to_timestamp(i.next_change_s) AS next_change,
           i.decided_rules AS decided_now, t.now,
           i.suspect,
           (q.presentity_uri, q.event) IN (SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog <> 0 AND x.retry_at > '-infinity') AS set_aside
    FROM unnest(:presentity_uri::text[], :event::text[], :claim::bigint[], :state_taken::boolean[],
                :next_change_s::double precision[], :decided_rules::bigint[], :doubted::boolean[], :digest::bigint[],
                :digests::text[], :suspect::timestamptz[])
        WITH ORDINALITY AS i (presentity_uri, event, claim, state_taken, next_change_s, decided_rules, doubted, digest, digests, suspect, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = i.event
    WHERE q.owner = :owner::bigint AND q.claim = i.claim
      AND (NOT i.doubted OR (
          SELECT true
          FROM active_watchers AS a
          WHERE a.presentity_uri = q.presentity_uri AND a.event = q.event AND NOT a.ended AND a.decided_version IS DISTINCT FROM -1
            AND CASE WHEN a.updated <> -1 THEN a.retry_at <= date_part('epoch', t.now)
                     ELSE a.notified_version < CASE WHEN a.status = 2 THEN q.recovered_version ELSE q.claimed_version END
                          AND (a.notified_version < q.full_version
                               OR (a.shown = CASE WHEN a.view = 'all' THEN i.digest ELSE (i.digests::jsonb ->> a.view)::bigint END) IS NOT TRUE) END
            AND a.id NOT IN (SELECT x.dialog FROM quarantine AS x WHERE x.dialog > 0 AND x.retry_at > COALESCE(:now::timestamptz, now()))
          LIMIT 1) IS NULL)
    ORDER BY is_winfo(q.event), q.presentity_uri, q.event
    FOR UPDATE OF q SKIP LOCKED
),
decided AS MATERIALIZED (
    SELECT
        l.ord, l.presentity_uri, l.event, l.now,
        CASE WHEN l.state_taken AND l.claimed_version = l.version THEN 0 ELSE l.version END AS version,
        CASE WHEN NOT l.state_taken AND l.claimed_version > 0 THEN l.now
             ELSE GREATEST(l.now, l.not_before) END AS not_before,
        LEAST(CASE WHEN l.state_taken AND l.claimed_version > 0 AND l.claimed_version = l.version AND l.changes_at > l.now
                   THEN COALESCE(l.next_change, l.changes_at)
                   ELSE LEAST(l.changes_at, l.next_change) END,
              CASE WHEN l.set_aside
                   THEN (SELECT min(x.retry_at) FROM quarantine AS x
                         WHERE x.presentity_uri = l.presentity_uri AND x.event = l.event AND x.dialog <> 0 AND x.retry_at > COALESCE(l.suspect, '-infinity')) END) AS changes_at,
        LEAST(l.flagged_due, f.due) AS flagged_due,
        CASE WHEN l.decided_now = -1 THEN LEAST(l.decide_at, l.now)
             WHEN l.decided_now >= 0
             THEN LEAST(l.decide_at, (SELECT to_timestamp(min(w.recheck_at))
                                      FROM watchers AS w
                                      WHERE w.presentity_uri = l.presentity_uri AND w.recheck_at IS NOT NULL),
                        CASE WHEN l.set_aside
                             THEN (SELECT min(x.retry_at) FROM quarantine AS x
                                   WHERE x.presentity_uri = l.presentity_uri AND x.event = l.event AND x.step = 'decide' AND x.retry_at > COALESCE(l.suspect, '-infinity')) END)
             ELSE l.decide_at END AS decide_at,
        GREATEST(l.decided_rules, l.decided_now) AS decided_rules,
        CASE WHEN l.state_taken AND l.recovered_version <= l.claimed_version THEN 0
             ELSE l.recovered_version END AS recovered_version
    FROM locked AS l
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) > 0 THEN GREATEST(l.now, to_timestamp(min(a.retry_at))) END AS due
        FROM active_watchers AS a
        WHERE a.presentity_uri = l.presentity_uri AND a.event = l.event AND a.updated <> -1
          AND a.decided_version IS DISTINCT FROM -1
          AND a.id NOT IN (SELECT x.dialog FROM quarantine AS x WHERE x.dialog > 0 AND x.retry_at > COALESCE(:now::timestamptz, now()))
    ) AS f
)
UPDATE notify_queue AS q
SET owner           = NULL,
    lease_until     = '-infinity',
    version         = d.version,
    claimed_version = 0,
    not_before      = d.not_before,
    changes_at      = d.changes_at,
    full_version    = CASE WHEN d.version > 0 THEN q.full_version ELSE 0 END,
    flagged_due     = d.flagged_due,
    decide_at       = d.decide_at,
    decided_rules   = d.decided_rules,
    recovered_version = d.recovered_version,
    due             = LEAST(d.flagged_due, d.decide_at, GREATEST(d.changes_at, d.not_before),
                            CASE WHEN d.version > 0 THEN d.not_before ELSE 'infinity' END),
    owed_since      = CASE WHEN d.version > 0 OR d.flagged_due < 'infinity' OR d.decide_at <= d.now THEN q.owed_since END
FROM decided AS d
WHERE q.presentity_uri = d.presentity_uri AND q.event = d.event
RETURNING d.ord AS resource
