-- Statement trigger: whatever flags a dialog, changes its status, or leaves it to be decided about, puts its resource into notify_queue.
--
-- Two statements, each in key order: first the rows of what is watched, then those of watcher information. Such is the order of locks
-- in notify_queue: watcher information after everything else, and by key within both.
--
-- Why nobody who begins to watch the watchers misses one. A status change locks the row of its own resource (uri, event) to the
-- end of its transaction, and a new dialog of (uri, event.winfo) locks that same row and marks it. Whoever comes second waits for
-- the first to commit. If that is the status change, it finds the mark, which is read under the lock, and only then looks for
-- watchers of the watcher information, in a statement with a snapshot of its own. If it is the new dialog, it commits after the
-- status change, and its first NOTIFY, which is taken after that and tells everything, shows it.
--
-- Measured, 28 new dialogs a statement: 19 us of the 194 us that a dialog takes. To look for somebody who watches the watchers would take 7
-- more, a second INSERT that inserts nothing 3, and each further scan of the new rows 2 to 4.

CREATE FUNCTION queue_flagged_dialogs() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    at       timestamptz := presence_now();
    uris     text[];
    versions bigint[];
    watched  boolean;
BEGIN
    -- A take for a state change is done here, having looked at its rows once.
    IF TG_OP = 'UPDATE' THEN
        PERFORM FROM new_rows AS n
        WHERE n.updated <> -1 OR n.updated_winfo <> -1 OR n.decided_version = -1 OR (n.status = 3 AND n.view = 'none')
        LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;

    -- decide_at: decided about, or to be. The lock of the row of presence stands between the dialog and a document that is being
    -- stored. To be looked at are undecided dialogs, and pending ones that are over: their watcher may have to wait from now on.
    WITH queued AS (
        INSERT INTO notify_queue AS q (presentity_uri, event, flagged_due, decide_at, due, owed_since, winfo_watched)
        SELECT f.presentity_uri, f.event, min(f.flagged_due), min(f.decide_at), LEAST(min(f.flagged_due), min(f.decide_at)),
               CASE WHEN LEAST(min(f.flagged_due), min(f.decide_at)) < 'infinity' THEN at END, bool_or(f.winfo_watched)
        FROM (SELECT n.presentity_uri,
                     -- Only locked and marked: what is watched, when somebody begins to watch its watchers.
                     CASE WHEN is_winfo(n.event) THEN watched_event(n.event) ELSE n.event END AS event,
                     CASE WHEN n.updated <> -1 AND n.decided_version IS DISTINCT FROM -1 AND NOT is_winfo(n.event)
                          THEN GREATEST(at, to_timestamp(n.retry_at)) ELSE 'infinity' END AS flagged_due,
                     'infinity'::timestamptz AS decide_at,
                     is_winfo(n.event) AS winfo_watched
              FROM new_rows AS n
              -- Only locked: that whose watchers change.
              WHERE n.updated_winfo <> -1
                 OR (n.updated <> -1 AND (n.decided_version IS DISTINCT FROM -1 OR is_winfo(n.event)))
              UNION ALL
              SELECT n.presentity_uri, 'presence', 'infinity',
                     CASE WHEN n.decided_version = -1 OR n.view = 'none' THEN at ELSE 'infinity' END,
                     false
              FROM new_rows AS n
              WHERE n.decided_version IS NOT NULL
                -- A flagged dialog of presence that there is nothing to decide about locks that row above.
                AND NOT (n.event = 'presence' AND n.updated <> -1 AND n.decided_version >= 0 AND n.view <> 'none')
                AND (n.decided_version = -1 OR TG_OP = 'INSERT'
                     OR (n.status = 3 AND n.view = 'none' AND n.reason IN ('', 'timeout')))) AS f
        GROUP BY f.presentity_uri, f.event
        ORDER BY f.presentity_uri, f.event
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET flagged_due   = LEAST(q.flagged_due, EXCLUDED.flagged_due),
            decide_at     = LEAST(q.decide_at, EXCLUDED.decide_at),
            due           = LEAST(q.due, EXCLUDED.due),
            owed_since    = COALESCE(q.owed_since, EXCLUDED.owed_since),
            winfo_watched = q.winfo_watched OR EXCLUDED.winfo_watched
        RETURNING q.presentity_uri, q.event, q.rules_version, q.winfo_watched
    )
    SELECT array_agg(q.presentity_uri) FILTER (WHERE q.event = 'presence' AND q.rules_version > 0),
           array_agg(q.rules_version) FILTER (WHERE q.event = 'presence' AND q.rules_version > 0),
           bool_or(q.winfo_watched)
    INTO uris, versions, watched
    FROM queued AS q;

    -- Before the update below: what that fires then locks nothing that is not locked already.
    IF watched THEN
        INSERT INTO notify_queue AS q (presentity_uri, event, version, flagged_due, due, owed_since)
        SELECT w.presentity_uri, w.event, CASE WHEN w.changed THEN nextval('notify_version') ELSE 0 END, w.flagged_due,
               LEAST(w.flagged_due, CASE WHEN w.changed THEN at END), at
        FROM (SELECT c.presentity_uri, c.event, bool_or(c.changed) AS changed, min(c.flagged_due) AS flagged_due
              FROM (SELECT n.presentity_uri, n.event, false AS changed,
                           GREATEST(at, to_timestamp(n.retry_at)) AS flagged_due
                    FROM new_rows AS n
                    WHERE n.updated <> -1 AND is_winfo(n.event)
                    UNION ALL
                    SELECT s.presentity_uri, s.event, true, 'infinity'
                    FROM (SELECT DISTINCT n.presentity_uri, winfo_event(n.event) AS event
                          FROM new_rows AS n
                          WHERE n.updated_winfo <> -1 AND NOT is_winfo(n.event)) AS s
                    CROSS JOIN LATERAL (SELECT a.id
                                        FROM active_watchers AS a
                                        WHERE a.presentity_uri = s.presentity_uri AND a.event = s.event AND a.status <> 3
                                        LIMIT 1) AS a) AS c
              GROUP BY c.presentity_uri, c.event) AS w
        ORDER BY w.presentity_uri, w.event
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET version     = CASE WHEN EXCLUDED.version > 0 THEN nextval('notify_version') ELSE q.version END,
            flagged_due = LEAST(q.flagged_due, EXCLUDED.flagged_due),
            due         = LEAST(q.due, EXCLUDED.flagged_due,
                                CASE WHEN EXCLUDED.version > 0 THEN GREATEST(at, q.not_before) END),
            owed_since  = COALESCE(q.owed_since, EXCLUDED.owed_since);
    END IF;
    IF TG_OP = 'INSERT' AND uris IS NOT NULL THEN
        -- Let in by default, while a document came that the statement could not see. Now, under the lock, it does not matter how
        -- far the other has got: the dialog is undecided like any other that comes from here on.
        UPDATE active_watchers AS a
        SET status          = CASE WHEN a.status = 1 THEN 2 ELSE a.status END,
            view            = 'none',
            decided_version = -1
        FROM new_rows AS n
        JOIN unnest(uris, versions) AS v (presentity_uri, rules_version) ON v.presentity_uri = n.presentity_uri
        WHERE a.id = n.id AND n.decided_version >= 0 AND n.decided_version < v.rules_version;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_flagged_dialogs() IS
    'Statement trigger of active_watchers: queues the resources of flagged dialogs, due at their retry_at, presentities about whose watchers is to be decided, and the watcher information of those whose status changed, if somebody watches it.';

CREATE TRIGGER active_watchers_inserted AFTER INSERT ON active_watchers
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_flagged_dialogs();
CREATE TRIGGER active_watchers_updated AFTER UPDATE ON active_watchers
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_flagged_dialogs();
