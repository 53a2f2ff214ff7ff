-- operator.find_backlog
-- Purpose:    how much is owed, for how long, and how late the notifiers are
-- Called by:  cli/src/status.rs
-- Parameters: none
-- Returns:    resources int8 | due int8 (nobody is at it, and it is time) | oldest_s float8 (since when something is owed, at most; null = nothing is) | late_s float8 (how long it has been time, at most; null = it is not)
-- Locks:      none
-- Plan:       notify_queue_told_idx, notify_queue_decide_idx, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe, reads only
-- RFC:        none
--
-- What was set aside is owed, but nobody is late with it.
SELECT count(*) AS resources,
       count(*) FILTER (WHERE q.due <= now() AND NOT q.set_aside) AS due,
       extract(epoch FROM now() - min(q.owed_since))::double precision AS oldest_s,
       extract(epoch FROM now() - min(q.due) FILTER (WHERE q.due <= now() AND NOT q.set_aside))::double precision AS late_s
FROM (
    SELECT q.due, q.owed_since,
           (q.presentity_uri, q.event) IN (SELECT x.presentity_uri, x.event FROM quarantine AS x WHERE x.dialog = 0 AND x.retry_at > now()) AS set_aside
    FROM (
        SELECT q.presentity_uri, q.event, q.due, q.owed_since
        FROM notify_queue AS q
        WHERE q.due < q.decide_at AND q.due < 'infinity'
        UNION ALL
        SELECT q.presentity_uri, q.event, q.due, q.owed_since
        FROM notify_queue AS q
        WHERE q.decide_at <= q.due AND q.due < 'infinity' AND q.due > '-infinity'
    ) AS q
    WHERE q.owed_since IS NOT NULL
) AS q
