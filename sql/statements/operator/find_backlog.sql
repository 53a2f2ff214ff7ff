-- operator.find_backlog
-- Purpose:    how much is owed, for how long, and how late the notifiers are
-- Called by:  cli/src/status.rs
-- Parameters: none
-- Returns:    resources int8 | due int8 (nobody is at it, and it is time) | oldest_s float8 (since when something is owed, at most; null = nothing is) | late_s float8 (how long it has been time, at most; null = it is not)
-- Locks:      none
-- Plan:       notify_queue_due_idx
-- Retry:      safe, reads only
-- RFC:        none
SELECT count(*) AS resources,
       count(*) FILTER (WHERE q.due <= now()) AS due,
       extract(epoch FROM now() - min(q.owed_since))::double precision AS oldest_s,
       extract(epoch FROM now() - min(q.due) FILTER (WHERE q.due <= now()))::double precision AS late_s
FROM notify_queue AS q
WHERE q.due < 'infinity' AND q.owed_since IS NOT NULL
