-- quarantine.put_refused
-- Purpose:    set aside what the database refuses, later again each time
-- Called by:  notifier/src/isolation.rs, when a part of a batch is to blame for an error
-- Parameters: presentity_uri text[] | event text[] | dialog int8[] (0 = the whole resource, -1 = a decision about a watcher without a dialog) | step text | sqlstate text[] | message text[] | now timestamptz (tests only, else null)
-- Returns:    nothing; the row count says how much was set aside
-- Locks:      quarantine rows by key
-- Plan:       quarantine_pkey
-- Retry:      a second run waits longer
-- RFC:        none
INSERT INTO quarantine AS x (presentity_uri, event, dialog, step, sqlstate, message, since, retry_at)
SELECT i.presentity_uri, i.event, i.dialog, :step::text, min(i.sqlstate), left(min(i.message), 1000),
       COALESCE(:now::timestamptz, now()), COALESCE(:now::timestamptz, now()) + interval '5 seconds'
FROM unnest(:presentity_uri::text[], :event::text[], :dialog::bigint[], :sqlstate::text[], :message::text[]) AS i (presentity_uri, event, dialog, sqlstate, message)
GROUP BY i.presentity_uri, i.event, i.dialog
ORDER BY i.presentity_uri COLLATE "C", i.event COLLATE "C", i.dialog
ON CONFLICT (presentity_uri, event, dialog) DO UPDATE
SET step     = EXCLUDED.step,
    sqlstate = EXCLUDED.sqlstate,
    message  = EXCLUDED.message,
    tries    = x.tries + 1,
    retry_at = EXCLUDED.since + LEAST(interval '5 minutes', interval '5 seconds' * power(2, LEAST(x.tries, 10)))
