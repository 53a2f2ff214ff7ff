-- operator.find_backlog
-- Purpose:    how much is due, for how long, how late the notifiers are, and what they work on without a NOTIFY
-- Called by:  cli/src/status.rs
-- Parameters: patience_s float8 (how long a NOTIFY may be due that notifiers work on)
-- Returns:    resources int8 | due int8 (nobody is at it, and it is time) | oldest_s float8 (for how long something has been due, at most; null = nothing is) | late_s float8 (how long it has been time, at most; null = it is not) | untold int8 (resources of which a NOTIFY has been due for longer than patience_s, and none was sent since) | untold_s float8 (since when, at most; null = there is none)
-- Locks:      none
-- Plan:       notify_queue_told_idx, notify_queue_decide_idx, active_watchers_resource_idx, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe, reads only
-- RFC:        none
--
-- What was set aside is due, but nobody is late with it; it is reported by itself.
-- A notifier that claims a resource moves its due into the future, so that late_s says nothing of what is claimed again and again. The
-- dialogs do: one is untold if a NOTIFY is due for it and none was taken since that became due, or since the dialog exists; or if
-- whoever took it died before the answer, and nobody has sent it anew. A phone that does not answer was sent one in vain: count_failing
-- counts it. For a watcher who is shown the same as before nothing is due (take), however old his last NOTIFY: so a change of state counts
-- only when it was claimed so long ago (not_before moves with each claim of one). Of a resource that changes all the time something is always
-- due, but its dialogs get their NOTIFYs meanwhile.
SELECT count(*) AS resources,
       count(*) FILTER (WHERE q.due <= now() AND NOT q.set_aside) AS due,
       extract(epoch FROM now() - min(q.owed_since))::double precision AS oldest_s,
       extract(epoch FROM now() - min(q.due) FILTER (WHERE q.due <= now() AND NOT q.set_aside))::double precision AS late_s,
       count(*) FILTER (WHERE q.untold) AS untold,
       extract(epoch FROM now() - min(q.owed_since) FILTER (WHERE q.untold))::double precision AS untold_s
FROM (
    SELECT q.due, q.owed_since,
           (q.presentity_uri, q.event) IN (SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > now()) AS set_aside,
           CASE WHEN q.owed_since <= t.before
                     AND (q.presentity_uri, q.event) NOT IN (SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.presentity_uri > '')
                THEN q.recovered_version > 0 OR (
                    SELECT true
                    FROM active_watchers AS a
                    WHERE a.presentity_uri = q.presentity_uri AND a.event = q.event AND NOT a.ended
                      AND (a.updated <> -1 OR (a.status = 1 AND a.notified_version < q.version
                                               AND q.not_before <= t.before))
                      AND a.failures = 0
                      AND COALESCE(a.notified_at <= LEAST(q.owed_since, t.before), a.created_time <= extract(epoch FROM t.before))
                    LIMIT 1) IS NOT NULL
                ELSE false END AS untold
    FROM (
        SELECT q.presentity_uri, q.event, q.due, q.owed_since, q.version, q.recovered_version, q.not_before
        FROM notify_queue AS q
        WHERE q.due < q.decide_at AND q.due < 'infinity'
        UNION ALL
        SELECT q.presentity_uri, q.event, q.due, q.owed_since, q.version, q.recovered_version, q.not_before
        FROM notify_queue AS q
        WHERE q.decide_at <= q.due AND q.due < 'infinity' AND q.due > '-infinity'
    ) AS q
    CROSS JOIN (SELECT now() - make_interval(secs => :patience_s::double precision) AS before) AS t
    WHERE q.owed_since IS NOT NULL
) AS q
